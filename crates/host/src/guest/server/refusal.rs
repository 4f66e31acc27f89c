//! Answers that the host gives in its guest's place: plain text, one sentence.

use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use wasmtime_wasi_http::WasiBody;

use super::super::body::whole;

/// Why a request is not the guest's, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Host,
    Upgrade,
    Tunnel,
    TooLarge,
    TooSlow,
    TooMany,
    Failed,
    TimedOut,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Refusal::Host => StatusCode::BAD_REQUEST,
            Refusal::Upgrade | Refusal::Tunnel => StatusCode::NOT_IMPLEMENTED,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Refusal::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Refusal::Host => "a request has one Host\n",
            Refusal::Upgrade => "this server does not switch to another protocol (Upgrade)\n",
            Refusal::Tunnel => "this server makes no tunnels (CONNECT)\n",
            Refusal::TooLarge => "the body is larger than this server takes\n",
            Refusal::TooSlow => "the body took too long to come\n",
            Refusal::TooMany => "too many requests at once, try again in a moment\n",
            Refusal::Failed => "the server failed\n",
            Refusal::TimedOut => "the server took too long to answer\n",
        }
    }

    /// What is left of the request on the connection is read by nobody.
    fn hangs_up(self) -> bool {
        matches!(self, Refusal::Host | Refusal::Tunnel | Refusal::TooLarge | Refusal::TooSlow)
    }

    /// `http2` has no connection of its own to a request.
    pub fn response(self, http2: bool) -> Response<WasiBody> {
        let mut response = Response::new(whole(self.sentence().as_bytes()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if self == Refusal::TooMany {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.hangs_up() && !http2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
