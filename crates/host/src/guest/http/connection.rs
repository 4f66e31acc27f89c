//! A connection to a server, plain or by TLS.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;
use wasmtime_wasi_http::Error;

use super::errors;

/// How long an address has before the next one is tried beside it (RFC 8305, 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Bytes to and from a server.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An open connection, and whether HTTP/2 was agreed on.
pub(super) struct Connection {
    pub stream: Box<dyn Duplex>,
    pub http2: bool,
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Self {
        Self { stream: Box::new(stream), http2: false }
    }
}

/// Connects to the first of `addresses` that takes the connection.
pub(super) async fn dial(addresses: Vec<SocketAddr>) -> Result<TcpStream, Error> {
    let mut untried = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = untried.next() {
            attempts.spawn(TcpStream::connect(address));
        }
        if attempts.is_empty() {
            return Err(errors::of_connect(&failure));
        }
        tokio::select! {
            Some(result) = attempts.join_next() => match result.unwrap_or_else(|gone| Err(gone.into())) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(|error| errors::of_connect(&error))?;
                    return Ok(stream);
                }
                Err(error) => failure = error,
            },
            () = sleep(HEAD_START), if untried.len() > 0 => {}
        }
    }
}
