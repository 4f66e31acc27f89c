//! Requests whose clients trace them (W3C Trace Context): what a server does for one is a span of its own, under which the guest
//! goes on with the trace. Whoever is not traced, or not sampled, costs a look at one header where the node has traces at all.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::protocol::Traced;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The flag of those that are to be told.
const SAMPLED: u8 = 1;

/// How long a span waits for others; those that come meanwhile and find no room are not told.
const PAUSE: Duration = Duration::from_millis(200);
const ROOM: usize = 8 * Traced::MOST;

/// Tells some spans, at most [`Traced::MOST`].
type Tell = Box<dyn Fn(Vec<Traced>) + Send + Sync>;

/// Those of one server. Clones are of the same one.
#[derive(Clone)]
pub(super) struct Traces(Arc<Shared>);

struct Shared {
    spans: Mutex<Vec<Traced>>,
    tell: Tell,
}

impl fmt::Debug for Traces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl Traces {
    pub fn new(tell: Tell) -> Traces {
        Traces(Arc::new(Shared { spans: Mutex::default(), tell }))
    }

    /// Takes a request's part in a trace: from here on the guest's own parts are parts of this one.
    pub fn begin<B>(&self, request: &mut Request<B>) -> Option<Trace> {
        let Context { trace, parent, flags } = Context::of(request.headers())?;
        let mut span = [0; 8];
        // The kernel gives so few bytes whole and at once.
        getrandom(&mut span[..], GetRandomFlags::empty()).ok()?;
        let own = Context { trace, parent: span, flags };
        request.headers_mut().insert(TRACEPARENT, HeaderValue::try_from(own.to_string()).ok()?);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (method, path) = (short(request.method().as_str()), short(request.uri().path()));
        let (begun, status, took) = (nanoseconds(since), 0, 0);
        let traced = Traced { trace, parent, span, method, path, status, begun, took };
        Some(Trace { traces: self.clone(), traced })
    }

    fn add(&self, traced: Traced) {
        let first = {
            let mut spans = self.spans();
            if spans.len() >= ROOM {
                return;
            }
            spans.push(traced);
            spans.len() == 1
        };
        if first && let Ok(runtime) = Handle::try_current() {
            let traces = self.clone();
            runtime.spawn(async move {
                sleep(PAUSE).await;
                traces.tell();
            });
        }
    }

    /// Tells what has not been told yet.
    pub fn tell(&self) {
        let mut spans = std::mem::take(&mut *self.spans());
        while !spans.is_empty() {
            let rest = spans.split_off(spans.len().min(Traced::MOST));
            (self.0.tell)(std::mem::replace(&mut spans, rest));
        }
    }

    fn spans(&self) -> MutexGuard<'_, Vec<Traced>> {
        self.0.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request's.
pub(super) struct Trace {
    traces: Traces,
    traced: Traced,
}

impl Trace {
    /// The request is over.
    pub fn end(self, status: StatusCode, took: Duration) {
        let traced = Traced { status: status.as_u16(), took: nanoseconds(took), ..self.traced };
        self.traces.add(traced);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn short(text: &str) -> String {
    text.get(..text.floor_char_boundary(Traced::LONGEST)).unwrap_or_default().to_owned()
}

/// A `traceparent` that is sampled.
#[derive(Debug, PartialEq, Eq)]
struct Context {
    trace: [u8; 16],
    parent: [u8; 8],
    flags: u8,
}

impl Context {
    /// `None` also for a header that is not what the specification says (3.2.2): it stays as it is, and is the guest's to read.
    fn of(headers: &HeaderMap) -> Option<Context> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let (Some(header), None) = (all.next(), all.next()) else { return None };
        let mut parts = header.to_str().ok()?.split('-');
        let [version] = hex(parts.next()?)?;
        let (trace, parent, [flags]) = (hex(parts.next()?)?, hex(parts.next()?)?, hex(parts.next()?)?);
        // Later versions may say more behind this.
        let known = version < 0xff && (version > 0 || parts.next().is_none());
        let sampled = flags & SAMPLED != 0 && trace != [0; 16] && parent != [0; 8];
        (known && sampled).then_some(Context { trace, parent, flags })
    }
}

impl fmt::Display for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Context { trace, parent, flags } = self;
        let (trace, parent) = (u128::from_be_bytes(*trace), u64::from_be_bytes(*parent));
        write!(formatter, "00-{trace:032x}-{parent:016x}-{flags:02x}")
    }
}

/// So many bytes in lower case.
fn hex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let digit = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 2 * BYTES || !text.bytes().all(digit) {
        return None;
    }
    let mut bytes = [0; BYTES];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn request(headers: &[&str]) -> Request<()> {
        let mut request = Request::builder().uri("/cart?secret");
        for value in headers {
            request = request.header(TRACEPARENT, *value);
        }
        request.body(()).unwrap()
    }

    fn told() -> (Traces, Arc<Mutex<Vec<Vec<Traced>>>>) {
        let told = Arc::<Mutex<Vec<Vec<Traced>>>>::default();
        let to = told.clone();
        (Traces::new(Box::new(move |spans| to.lock().unwrap().push(spans))), told)
    }

    #[test]
    fn the_guest_goes_on_under_the_servers_own_span() {
        let (traces, told) = told();
        let mut request = request(&[OURS]);
        let trace = traces.begin(&mut request).unwrap();
        let seen = Context::of(request.headers()).unwrap();
        trace.end(StatusCode::CREATED, Duration::from_micros(5));
        traces.tell();
        let told = told.lock().unwrap();
        let [spans] = told.as_slice() else { panic!("{told:?}") };
        let [span] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((seen.trace, seen.parent), (span.trace, span.span));
        assert_eq!((span.status, span.took, span.path.as_str()), (201, 5000, "/cart"));
        assert_eq!(Context { trace: span.trace, parent: span.parent, flags: 1 }.to_string(), OURS);
    }

    #[test]
    fn whoever_is_not_sampled_or_says_nonsense_is_left_alone() {
        let long = format!("{OURS}-more");
        for headers in [
            vec![],
            vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"],
            vec!["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
            vec!["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            vec!["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
            vec!["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"],
            vec![&long],
            vec![OURS, OURS],
            vec!["é"],
        ] {
            let mut request = request(&headers);
            assert!(told().0.begin(&mut request).is_none(), "{headers:?}");
            let left: Vec<_> =
                request.headers().get_all(TRACEPARENT).iter().map(HeaderValue::as_bytes).collect();
            assert_eq!(left, headers.iter().map(|header| header.as_bytes()).collect::<Vec<_>>());
        }
        assert!(
            told().0.begin(&mut request(&[&long.replacen("00", "01", 1)])).is_some(),
            "of a later version"
        );
    }

    #[test]
    fn many_are_told_in_parts_and_too_many_are_not() {
        let (traces, told) = told();
        for _ in 0..2 * ROOM {
            traces.begin(&mut request(&[OURS])).unwrap().end(StatusCode::OK, Duration::ZERO);
        }
        traces.tell();
        let told = told.lock().unwrap();
        assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [Traced::MOST; ROOM / Traced::MOST]);
    }
}
