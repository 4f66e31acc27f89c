//! Connections: taken as long as there is room, told apart by their first bytes, and ended in peace.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use wasmtime_wasi_http::io::TokioIo;

use super::super::tasks::Tasks;
use super::exchange;
use super::lanes::Lane;
use super::life::Place;
use super::site::Server;
use super::stream::{Stream, linger};
use super::timer::{Timer, Timers};

/// The most bytes that the head of a request may have. Of fields it has at most hyper's 100.
const HEAD: u32 = 64 * 1024;

/// The longest patience with a client's head, and with one that keeps its connection for later.
const PATIENCE: Duration = Duration::from_secs(30);

/// By HTTP/2: streams of one connection, what is on its way in either direction, and how a client is found to be gone.
const STREAMS: u32 = 128;
const WINDOW: u32 = 128 * 1024;
const UNSENT: usize = 64 * 1024;
const PING: Duration = Duration::from_secs(30);

/// What a client begins with that speaks HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Between two looks at a beginning that could still become that: at first, and at most.
const LOOK: Duration = Duration::from_millis(2);
const SELDOM: Duration = Duration::from_millis(500);

/// How long a client of HTTP/1.1 may take, when the server ends, to ask what it was about to ask: its answer tells it that the
/// connection ends, and one that just vanished would have taken the question along.
const FAREWELL: Duration = Duration::from_secs(1);

/// Until the next try, when this process has no descriptor left.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Takes connections until the server is asked to come to its end, and returns when all that was asked is answered. Dropped
/// before, it ends all that the server does.
pub(super) async fn listen(server: &Arc<Server>, listener: OwnedFd) -> io::Result<()> {
    let listener = std::net::TcpListener::from(listener);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let _end = EndAll(server.clone());
    tokio::select! {
        () = server.life.end_asked() => {}
        () = take_all(server, &listener) => {}
    }
    // Those that came before the end was asked for are in the kernel's hands still.
    while let Some(Ok((stream, client))) = at_once(listener.accept()).await {
        let Some(place) = server.life.connections.take().await else { break };
        begin(server, stream, client, place);
    }
    drop(listener);
    server.life.drain();
    server.over().await;
    Ok(())
}

/// What is ready now.
async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::ZERO, future).await.ok()
}

struct EndAll(Arc<Server>);

impl Drop for EndAll {
    fn drop(&mut self) {
        self.0.life.kill();
    }
}

async fn take_all(server: &Arc<Server>, listener: &TcpListener) {
    loop {
        // Without a place the next client waits with the kernel, whose queue has an end.
        let Some(place) = server.life.connections.take().await else { return };
        match listener.accept().await {
            Ok((stream, client)) => begin(server, stream, client, place),
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => sleep(NO_ROOM).await,
                // Of a client that was gone before it was taken.
                _ => tokio::task::yield_now().await,
            },
        }
    }
}

fn begin(server: &Arc<Server>, stream: TcpStream, client: SocketAddr, place: Place) {
    let (server, connected) = (server.clone(), server.lanes.connect());
    let lane = connected.lane().clone();
    let serve = async move |stream| {
        let (_place, lane) = (place, connected.lane());
        tokio::select! {
            biased;
            () = server.life.killed() => {}
            () = serve(&server, lane, stream, client) => {}
        }
    };
    // It was taken by another thread's event loop.
    let stream = stream.into_std();
    drop(lane.runtime().spawn(async move {
        // Without a descriptor or memory for it, it is closed.
        if let Ok(stream) = stream.and_then(TcpStream::from_std) {
            serve(stream).await;
        }
    }));
}

async fn serve(server: &Arc<Server>, lane: &Arc<Lane>, stream: TcpStream, client: SocketAddr) {
    let patience = server.patience().min(PATIENCE);
    // Small answers go at once.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let speaks_http2 = tokio::select! {
        speaks = timeout(patience, speaks_http2(&stream)) => match speaks {
            Ok(Some(speaks)) => speaks,
            // It says nothing, or has gone.
            Ok(None) | Err(_) => return,
        },
        // It has not asked for anything.
        () = quiet_end(server, &stream) => return,
    };
    let stream = Stream::new(stream);
    let left = stream.clone();
    let stream = TokioIo::new(stream);
    let service = service_fn({
        let (server, lane) = (server.clone(), lane.clone());
        move |request| {
            let (server, lane) = (server.clone(), lane.clone());
            async move { Ok::<_, Infallible>(exchange::answer(server, lane, client, request).await) }
        }
    });
    match speaks_http2 {
        true => {
            let connection = http2::Builder::new(Tasks)
                .timer(Timers)
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(HEAD)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_send_buf_size(UNSENT)
                .keep_alive_interval(PING)
                .keep_alive_timeout(PATIENCE)
                .serve_connection(stream, service);
            to_its_end(server, connection, Duration::ZERO, |connection| connection.graceful_shutdown()).await;
        }
        false => {
            let connection = http1::Builder::new()
                .timer(Timer::default())
                .header_read_timeout(patience)
                .max_header_size(HEAD as usize)
                .max_buf_size(HEAD as usize)
                .serve_connection(stream, service);
            to_its_end(server, connection, FAREWELL, |connection| connection.graceful_shutdown()).await;
        }
    }
    linger(left).await;
}

/// Lets a connection live until its client or the server comes to an end, which the client is told by `shut_down`, `farewell` later.
/// A connection's error is its client's: it went away, or what it sent is no HTTP, which it was told.
async fn to_its_end<C: Future>(
    server: &Server,
    connection: C,
    farewell: Duration,
    shut_down: impl FnOnce(Pin<&mut C>),
) {
    let mut connection = pin!(connection);
    tokio::select! {
        _ended = connection.as_mut() => {}
        () = end_of(server, farewell) => {
            shut_down(connection.as_mut());
            let _ended = connection.await;
        }
    }
}

/// Returns `farewell` after the server was asked to end.
async fn end_of(server: &Server, farewell: Duration) {
    server.life.draining().await;
    sleep(farewell).await;
}

/// Returns when the server ends and this client has not said a word.
async fn quiet_end(server: &Server, stream: &TcpStream) {
    end_of(server, FAREWELL).await;
    if at_once(stream.peek(&mut [0])).await.is_some() {
        std::future::pending::<()>().await;
    }
}

/// Whether a client begins as one of HTTP/2; `None`: it is gone. Nothing is taken from the stream.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut look = LOOK;
    loop {
        let mut beginning = [0; PREFACE.len()];
        let length = stream.peek(&mut beginning).await.ok().filter(|length| *length > 0)?;
        match beginning.get(..length) {
            Some(seen) if seen == PREFACE => return Some(true),
            // More of it has to come before anybody can tell, and what is there is ready at once.
            Some(seen) if PREFACE.starts_with(seen) => sleep(look).await,
            _ => return Some(false),
        }
        look = SELDOM.min(look * 2);
    }
}
