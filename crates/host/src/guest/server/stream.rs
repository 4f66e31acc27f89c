//! A client's bytes, as hyper reads and writes them. What hyper has left is in the hands of [`linger`]: a client that is still
//! sending would not hear the last answer if its connection just vanished (RFC 9112, 9.6).

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a client may send, and how long, behind the last answer.
const LINGER: Duration = Duration::from_secs(1);
const MOST: usize = 1 << 20;

/// One connection. Clones are the same one, of which one at a time reads or writes.
#[derive(Clone)]
pub(super) struct Stream(Arc<Mutex<TcpStream>>);

impl Stream {
    pub fn new(stream: TcpStream) -> Stream {
        Stream(Arc::new(Mutex::new(stream)))
    }

    fn tcp(&self) -> MutexGuard<'_, TcpStream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes and forgets what the client sends, until it has hung up, as it was asked to.
pub(super) async fn linger(mut stream: Stream) {
    if hang_up(&stream.tcp()).is_err() {
        return;
    }
    let forget = async {
        let (mut forgotten, mut bytes) = (0, [0; 4096]);
        while forgotten < MOST {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut buffer)).await;
            let length = buffer.filled().len();
            if read.is_err() || length == 0 {
                return;
            }
            forgotten += length;
        }
    };
    // Who goes on and on is hung up on.
    drop(timeout(LINGER, forget).await);
}

/// Tells the client that nothing more comes.
fn hang_up(stream: &TcpStream) -> io::Result<()> {
    Ok(rustix::net::shutdown(stream, rustix::net::Shutdown::Write)?)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.tcp()).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.tcp()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.tcp()).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(hang_up(&self.tcp()))
    }
}
