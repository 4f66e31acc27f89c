//! One request and its response on an open connection.

use http::header::HOST;
use http::{Request, Response, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use tokio::sync::oneshot;
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::body::Patient;
use super::link::{Link, Sender};
use super::pool::Lease;
use super::{ANSWER, Io, Sent, errors};

/// Why there is no response.
pub(super) enum Failure {
    /// The connection was at its end before anything was sent: the request, of which this is the body, may go by another one.
    Unsent(WasiBody),
    Failed(Error),
}

/// Sends `request` by the connection of `lease`. The response's body goes on to arrive while it is held, and gives the connection
/// back at its end; the other future is there until then.
pub(super) async fn exchange(
    mut lease: Lease,
    request: Request<WasiBody>,
    options: &RequestOptions,
) -> Result<Sent, Failure> {
    let patience = options.first_byte_timeout.unwrap_or(ANSWER);
    let asked = timeout(patience, ask(lease.link(), request)).await;
    let response = asked.map_err(|_| Failure::Failed(Error::ConnectionReadTimeout))??;
    let patience = options.between_bytes_timeout.unwrap_or(ANSWER);
    let (over, whole) = oneshot::channel();
    let response = response.map(|body| Patient::new(body, patience, lease.until(over)).boxed_unsync());
    let io: Io = Box::new(async move {
        // It ends by being dropped.
        let _over = whole.await;
        Ok(())
    });
    Ok((response, io))
}

/// Whether a request may be sent twice: it asks for nothing but an answer (RFC 9110, 9.2.2), and has no body.
pub(super) fn is_repeatable(request: &Request<WasiBody>) -> bool {
    request.method().is_idempotent() && request.body().is_end_stream()
}

async fn ask(link: &mut Link, request: Request<WasiBody>) -> Result<Response<Incoming>, Failure> {
    let answered = match link.sender() {
        Sender::Http1(sender) => sender.try_send_request(by_http1(request)).await,
        Sender::Http2(sender) => sender.try_send_request(by_http2(request)).await,
    };
    answered.map_err(|mut error: TrySendError<Request<WasiBody>>| match error.take_message() {
        Some(request) => Failure::Unsent(request.into_body()),
        None => Failure::Failed(errors::of_hyper(error.into_error())),
    })
}

/// An absolute URI is for proxies; the Host header is set already.
fn by_http1(mut request: Request<WasiBody>) -> Request<WasiBody> {
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(Uri::default, Uri::from);
    request
}

/// The URI's authority says the host (RFC 9113, 8.3.1).
fn by_http2(mut request: Request<WasiBody>) -> Request<WasiBody> {
    request.headers_mut().remove(HOST);
    *request.version_mut() = Version::HTTP_2;
    request
}
