//! One request and its response on a fresh connection.

use http::header::HOST;
use http::{Request, Response, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use tokio::time::timeout;
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::Patient;
use super::connection::Connection;
use super::{ANSWER, errors};

/// The most that a response's head may have, in bytes; HTTP/1.1 reads bodies in pieces of at most this size.
const HEAD: u32 = 64 * 1024;

/// What a server may send by HTTP/2 before the guest has read it, in bytes.
const WINDOW: u32 = 128 * 1024;

/// What a guest may send by HTTP/2 before the server has taken it, in bytes.
const UNSENT: usize = 64 * 1024;

/// The task that moves the bytes of a connection; dropped, it ends.
type Driver = AbortOnDropJoinHandle<hyper::Result<()>>;

/// Sends `request`; the response's body goes on to arrive while the other future is alive.
pub(super) async fn exchange(
    connection: Connection,
    request: Request<WasiBody>,
    options: &RequestOptions,
) -> Result<(Response<WasiBody>, impl Future<Output = Result<(), Error>> + Send + 'static), Error> {
    let asking = async {
        match connection.http2 {
            true => by_http2(connection, request).await,
            false => by_http1(connection, request).await,
        }
    };
    let patience = options.first_byte_timeout.unwrap_or(ANSWER);
    let (response, driver) = timeout(patience, asking)
        .await
        .map_err(|_| Error::ConnectionReadTimeout)?
        .map_err(errors::of_hyper)?;
    let patience = options.between_bytes_timeout.unwrap_or(ANSWER);
    let response = response.map(|body| Patient::new(body, patience).boxed_unsync());
    Ok((response, async move { driver.await.map_err(errors::of_hyper) }))
}

async fn by_http1(
    connection: Connection,
    mut request: Request<WasiBody>,
) -> hyper::Result<(Response<Incoming>, Driver)> {
    let mut builder = http1::Builder::new();
    let (mut sender, driver) =
        builder.max_buf_size(HEAD as usize).handshake(TokioIo::new(connection.stream)).await?;
    let driver = spawn(driver);
    // An absolute URI is for proxies; the Host header is set already.
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    Ok((sender.send_request(request).await?, driver))
}

async fn by_http2(
    connection: Connection,
    mut request: Request<WasiBody>,
) -> hyper::Result<(Response<Incoming>, Driver)> {
    let (mut sender, driver) = http2::Builder::new(Tasks)
        .max_header_list_size(HEAD)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_send_buf_size(UNSENT)
        .handshake(TokioIo::new(connection.stream))
        .await?;
    let driver = spawn(driver);
    // The URI's authority says it (RFC 9113, 8.3.1).
    request.headers_mut().remove(HOST);
    *request.version_mut() = Version::HTTP_2;
    Ok((sender.send_request(request).await?, driver))
}

/// Runs what HTTP/2 does beside its connection; it ends with the connection.
#[derive(Clone, Copy)]
struct Tasks;

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}
