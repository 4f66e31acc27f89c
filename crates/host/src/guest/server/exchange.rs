//! One request: whether it is the guest's to answer, how long its answer may take, and what is said when there is none.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{ExpirationError, InstantiationError, TrapOrPanicError};

use super::super::Outcome;
use super::super::body::whole;
use super::access::Entry;
use super::answer::{Answer, Claim, Limits};
use super::lanes::{Lane, Seat};
use super::leash::Ticket;
use super::question::{Complaint, Question};
use super::refusal::Refusal;
use super::site::Server;
use super::tally::Tally;
use crate::memory::Exhausted;
use crate::tenants;

/// Protocols that a client may ask for beside HTTP/1.1 and that may be passed over in silence (RFC 9113, 3.1).
const PASSED_OVER: [&str; 2] = ["h2c", "h2"];

/// The longest patience with a client's body: it should be on its way.
const BODY: Duration = Duration::from_secs(30);

/// Answers a request. There is always an answer.
pub(super) async fn answer(
    server: Arc<Server>,
    lane: Arc<Lane>,
    client: SocketAddr,
    mut request: Request<Incoming>,
) -> Response<Answer> {
    let http = *server.site.grants.http();
    let entry = http.access_log.then(|| Entry::new(server.site.clone(), client, &request));
    let trace = if http.traced { server.traces.begin(&mut request) } else { None };
    let mut tally = Tally::begin(server.counts.clone(), entry, trace);
    let http2 = request.version() == Version::HTTP_2;
    let end = server.site.grants.timeout().and_then(|limit| Instant::now().checked_add(limit));
    let limits = Limits { patience: server.patience(), end };
    let (response, claim, seat) = match ask(&server, &lane, limits, request).await {
        Ok((response, claim, seat)) => (response, claim, Some(seat)),
        Err(refusal) => (refusal.response(http2), Claim::none(), None),
    };
    tally.answered(response.status());
    let mut response = Answer::new(response, limits, claim, tally, seat);
    response.body_mut().begin().await;
    if !http2 && server.life.is_draining() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

type Answered = (Response<WasiBody>, Claim, Seat);

async fn ask(
    server: &Arc<Server>,
    lane: &Arc<Lane>,
    limits: Limits,
    mut request: Request<Incoming>,
) -> Result<Answered, Refusal> {
    check(&mut request)?;
    let most = server.site.grants.http().max_body;
    if most.is_some_and(|most| announced(request.headers()).is_some_and(|length| length > most)) {
        return Err(Refusal::TooLarge);
    }
    // Who is paused, or has used up its CPU quota, waits here: between requests no guest would be asked to.
    tenants::turn().await;
    let place = server.admission.enter().await.ok_or(Refusal::TooMany)?;
    let seat = server.lanes.seat(lane, place);
    let ticket = Arc::new(Ticket::default());
    let claim = Claim::new(ticket.clone(), request.method() == Method::HEAD);
    // A server that is ended ends its instances, and with them what they were asked.
    let answer = |request| timeout_at(limits.until(), seat.answer(lane, ticket.clone(), request));
    let answered = match request.body().is_end_stream() {
        true => answer(request.map(|_| whole(b""))).await,
        false => {
            let (complaint, patience) = (Complaint::default(), limits.patience.min(BODY));
            let body = |body| Question::new(body, most, patience, complaint.clone()).boxed_unsync();
            tokio::select! {
                biased;
                answered = answer(request.map(body)) => answered,
                refusal = complaint.made() => return Err(refusal),
            }
        }
    };
    match answered {
        Ok(Ok(response)) => Ok((response, claim, seat)),
        Ok(Err(error)) => {
            // An instance that ends says so in a moment.
            tokio::task::yield_now().await;
            Err(if ticket.has_failed() { Refusal::Failed } else { failed(server, &error) })
        }
        Err(_) => {
            let waited = limits.patience;
            server
                .site
                .stdio
                .note(&format!("a request timed out: no answer within {waited:?} (run.wasm/http-timeout)"));
            Err(Refusal::TimedOut)
        }
    }
}

/// What is no request for a guest; makes the others complete.
fn check<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::Tunnel);
    }
    let version = request.version();
    let headers = request.headers_mut();
    if version < Version::HTTP_2 && switches(headers) {
        return Err(Refusal::Upgrade);
    }
    let hosts = headers.get_all(HOST).iter().count();
    match version {
        // As RFC 9112, 3.2 has it.
        Version::HTTP_11 if hosts != 1 => return Err(Refusal::Host),
        _ if hosts > 1 => return Err(Refusal::Host),
        // Older clients name none, and guests expect one.
        Version::HTTP_10 | Version::HTTP_09 if hosts == 0 => {
            headers.insert(HOST, HeaderValue::from_static("localhost"));
        }
        _ => {}
    }
    let host = headers.get(HOST).cloned();
    *request.uri_mut() = complete(std::mem::take(request.uri_mut()), host).ok_or(Refusal::Host)?;
    Ok(())
}

/// The whole URI, of which a request line has but the path: guests do not see the `Host` beside it.
fn complete(uri: Uri, host: Option<HeaderValue>) -> Option<Uri> {
    let mut parts = uri.into_parts();
    if parts.authority.is_none() {
        parts.authority = Some(Authority::try_from(host?.as_bytes()).ok()?);
    }
    parts.scheme = Some(Scheme::HTTP);
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    Uri::from_parts(parts).ok()
}

/// Whether a client wants another protocol from here on.
fn switches(headers: &HeaderMap) -> bool {
    let asks = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let asks =
        asks.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    let words = headers.get_all(UPGRADE).iter().flat_map(|value| value.to_str().unwrap_or("?").split(','));
    let passed_over = |word: &str| PASSED_OVER.iter().any(|known| word.trim().eq_ignore_ascii_case(known));
    asks && words.into_iter().any(|word| !passed_over(word))
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Why there is no answer. What the instance itself has told is not told again.
fn failed(server: &Server, error: &wasmtime::Error) -> Refusal {
    if error.is::<ExpirationError>() {
        return Refusal::TimedOut;
    }
    if error.is::<TrapOrPanicError>() {
        return Refusal::Failed;
    }
    if let Some(beginning) = error.downcast_ref::<InstantiationError<Arc<Ticket>>>() {
        let error = &beginning.error;
        server.counts.failed();
        let full = error.is::<Exhausted>() || error.is::<wasmtime::PoolConcurrencyLimitError>();
        server.site.report(&Outcome::from_error(error, None, &server.site.denials));
        return if full { Refusal::TooMany } else { Refusal::Failed };
    }
    server.site.stdio.note(&format!("a request was not answered: {}", error.root_cause()));
    Refusal::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Version, headers: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::builder().version(version).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn a_request_has_one_host() {
        let checked = |version, headers: &[_]| check(&mut request(version, headers));
        assert_eq!(checked(Version::HTTP_11, &[("host", "a")]), Ok(()));
        assert_eq!(checked(Version::HTTP_11, &[]), Err(Refusal::Host));
        assert_eq!(checked(Version::HTTP_11, &[("host", "a"), ("host", "b")]), Err(Refusal::Host));
        assert_eq!(checked(Version::HTTP_2, &[]), Err(Refusal::Host));
        assert_eq!(checked(Version::HTTP_11, &[("host", "a b")]), Err(Refusal::Host));
        let mut old = request(Version::HTTP_10, &[]);
        assert_eq!((check(&mut old), old.uri().to_string().as_str()), (Ok(()), "http://localhost/"));
    }

    #[test]
    fn other_protocols_are_refused_and_http_2_is_passed_over() {
        let upgrade = |to| {
            let headers = [("host", "a"), ("connection", "keep-alive, Upgrade"), ("upgrade", to)];
            check(&mut request(Version::HTTP_11, &headers))
        };
        assert_eq!(upgrade("websocket"), Err(Refusal::Upgrade));
        assert_eq!(upgrade("h2c, websocket"), Err(Refusal::Upgrade));
        assert_eq!(upgrade("h2c"), Ok(()));
        let unasked = [("host", "a"), ("upgrade", "websocket")];
        assert_eq!(check(&mut request(Version::HTTP_11, &unasked)), Ok(()));
    }
}
