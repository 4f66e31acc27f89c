//! A web server, plain or by TLS, by HTTP/1.1 or HTTP/2.
//!
//! | path | what it answers |
//! |---|---|
//! | `/to/AUTHORITY` | a redirect to `http://AUTHORITY/` |
//! | `/head` | a head of a mebibyte |
//! | `/endless` | a body without end |
//! | any other | `hello by HTTP/1.1 from HOST`: the version, and the host that was asked for |

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::{Authority, listen};
use crate::nest::Nest;

/// A server at an address of the nest. It ends when it is dropped.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    serving: Option<JoinHandle<()>>,
}

impl Web {
    /// Serves plain HTTP/1.1 at `address`, whose port 0 is any.
    pub fn plain(nest: &Nest, address: &str) -> Result<Self> {
        Self::start(nest, address, None)
    }

    /// Serves as `name` by TLS, with a certificate of `authority`; `protocols` are what it offers, `h2` or `http/1.1`.
    pub fn secure(
        nest: &Nest,
        address: &str,
        authority: &Authority,
        name: &str,
        protocols: &[&str],
    ) -> Result<Self> {
        Self::start(nest, address, Some(authority.server(name, protocols)?))
    }

    fn start(nest: &Nest, address: &str, tls: Option<Arc<ServerConfig>>) -> Result<Self> {
        let (runtime, listener, address) = listen(nest, address)?;
        let (end, ended) = oneshot::channel();
        let serving = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, tls) => {}
                    _ = ended => {}
                }
            });
        });
        Ok(Self { address, end: Some(end), serving: Some(serving) })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.end.take());
        if self.serving.take().is_some_and(|serving| serving.join().is_err()) {
            eprintln!("a web server panicked");
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, tls: Option<Arc<ServerConfig>>) {
    let acceptor = tls.map(TlsAcceptor::from);
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        // What goes wrong on a connection is for its client to find out.
        tokio::spawn(async move {
            let Some(acceptor) = acceptor else { return drop(by_http1(stream).await) };
            let Ok(stream) = acceptor.accept(stream).await else { return };
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => drop(by_http2(stream).await),
                _ => drop(by_http1(stream).await),
            }
        });
    }
}

/// What is answered: a status and a header, and a body, which may have no end.
struct Answer {
    response: Response<()>,
    body: Bytes,
    endless: bool,
}

fn answer(path: &str, version: &str, host: &str) -> Result<Answer> {
    let mut answer = Answer { response: Response::new(()), body: Bytes::new(), endless: false };
    if let Some(to) = path.strip_prefix("/to/") {
        *answer.response.status_mut() = StatusCode::FOUND;
        answer.response.headers_mut().insert("location", format!("http://{to}/").parse()?);
    } else if path == "/head" {
        for number in 0..16 {
            let name: http::HeaderName = format!("x-{number}").parse()?;
            answer.response.headers_mut().insert(name, "x".repeat(1 << 16).parse()?);
        }
    } else if path == "/endless" {
        (answer.body, answer.endless) = (Bytes::from(vec![b'x'; 1 << 14]), true);
    } else {
        answer.body = format!("hello by {version} from {host}").into();
    }
    Ok(answer)
}

async fn by_http1(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let (mut lines, mut line) = (Vec::new(), String::new());
    while stream.read_line(&mut line).await? > 2 {
        lines.push(std::mem::take(&mut line));
    }
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let host = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    let Answer { response, body, endless } = answer(path, "HTTP/1.1", host.unwrap_or("nobody"))?;
    let mut head = format!("HTTP/1.1 {}\r\nconnection: close\r\n", response.status());
    for (name, value) in response.headers() {
        head += &format!("{name}: {}\r\n", value.to_str()?);
    }
    if !endless {
        head += &format!("content-length: {}\r\n", body.len());
    }
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    stream.write_all(&body).await?;
    if !endless {
        return Ok(stream.shutdown().await?);
    }
    loop {
        stream.write_all(&body).await?;
    }
}

async fn by_http2(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        tokio::spawn(async move { drop(respond_to(request, respond).await) });
    }
    Ok(())
}

async fn respond_to(
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) -> Result<()> {
    let host = request.uri().authority().map_or("nobody", |authority| authority.as_str());
    let Answer { response, body, endless } = answer(request.uri().path(), "HTTP/2", host)?;
    let mut stream = respond.send_response(response, false)?;
    if !endless {
        return Ok(stream.send_data(body, true)?);
    }
    loop {
        stream.reserve_capacity(body.len());
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await.unwrap_or(Ok(0))?;
        ensure!(room > 0, "the client is gone");
        stream.send_data(body.slice(..room.min(body.len())), false)?;
    }
}
