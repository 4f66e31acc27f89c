//! The body of an answer, on its way to the client: the guest may not stop for too long in the middle of it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::header::CONTENT_LENGTH;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use wasmtime_wasi_http::{Error, WasiBody};

use super::super::wait::Wait;
use super::lanes::Seat;
use super::leash::Ticket;
use super::tally::Tally;

/// How often is looked for the beginning of a body before the head goes without it, and how many frames of it go with the head at
/// most.
const LOOKS: u32 = 4;
const FRAMES: usize = 8;

/// What polling a body comes to when there is something.
type Polled = Option<Result<Frame<Bytes>, Error>>;

/// How long an answer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Each wait.
    pub patience: Duration,
    /// All of it.
    pub end: Option<Instant>,
}

impl Limits {
    /// Until when it may be waited from now on.
    pub fn until(&self) -> Instant {
        let wait = Instant::now() + self.patience;
        self.end.map_or(wait, |end| end.min(wait))
    }
}

pub(super) struct Answer {
    body: WasiBody,
    /// What came of it before its head went.
    begun: VecDeque<Polled>,
    /// The guest has said how long it is, which hyper takes its word for.
    announced: bool,
    limits: Limits,
    wait: Wait,
    /// With what it breaks off, when the client has been given the time to get what came before: hyper drops what it has not
    /// written by then, and writes when it has to wait.
    broken: Option<Error>,
    /// That of the request; closed when the answer was given.
    claim: Claim,
    tally: Tally,
    _seat: Option<Seat>,
}

/// A ticket in the hand of who waits for the answer: dropped before the answer is over, it is called off.
pub(super) struct Claim {
    ticket: Option<Arc<Ticket>>,
    /// Nobody waits for a body of it.
    headless: bool,
}

impl Claim {
    pub fn new(ticket: Arc<Ticket>, without_body: bool) -> Claim {
        Claim { ticket: Some(ticket), headless: without_body }
    }

    /// None: the host itself answers.
    pub fn none() -> Claim {
        Claim { ticket: None, headless: false }
    }

    fn has_failed(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.has_failed())
    }

    fn close(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.close();
        }
    }

    fn call_off(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            ticket.call_off();
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        match self.headless {
            true => self.close(),
            false => self.call_off(),
        }
    }
}

impl Answer {
    pub fn new(
        answer: Response<WasiBody>,
        limits: Limits,
        claim: Claim,
        tally: Tally,
        seat: Option<Seat>,
    ) -> Response<Answer> {
        let announced = answer.headers().contains_key(CONTENT_LENGTH);
        answer.map(|body| {
            let mut answer = Answer {
                body,
                begun: VecDeque::new(),
                announced,
                limits,
                wait: Wait::default(),
                broken: None,
                claim,
                tally,
                _seat: seat,
            };
            if answer.is_end_stream() {
                answer.claim.close();
            }
            answer
        })
    }
}

impl Answer {
    /// Takes what the guest has said already or says in a moment: a short answer goes in one packet with its head, where each
    /// packet costs as much as a good part of the answer. Whoever streams slowly has the head sent at once.
    pub async fn begin(&mut self) {
        if self.body.is_end_stream() {
            return;
        }
        for _ in 0..LOOKS {
            if poll_fn(|context| Poll::Ready(self.take_what_is_there(context))).await {
                return;
            }
            yield_now().await;
        }
    }

    /// Returns whether there is nothing to wait for.
    fn take_what_is_there(&mut self, context: &mut Context<'_>) -> bool {
        while self.begun.len() < FRAMES {
            let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(context) else { return false };
            let over = self.body.is_end_stream() || !matches!(polled, Some(Ok(_)));
            self.begun.push_back(polled);
            if over {
                return true;
            }
        }
        true
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Polled> {
        match self.begun.pop_front() {
            Some(polled) => Poll::Ready(polled),
            None => Pin::new(&mut self.body).poll_frame(context),
        }
    }

    /// How many bytes the whole body has, where that is known and it has no trailers.
    fn length(&self) -> Option<u64> {
        let rest = match self.begun.back() {
            _ if self.announced => self.body.size_hint().exact()?,
            // What is cut off must not look whole.
            _ if self.claim.has_failed() => return None,
            Some(None) => 0,
            _ if self.body.is_end_stream() => 0,
            _ => self.body.size_hint().exact()?,
        };
        self.begun.iter().flatten().try_fold(rest, |length, frame| {
            let data = frame.as_ref().ok()?.data_ref()?;
            length.checked_add(u64::try_from(data.len()).ok()?)
        })
    }

    /// Ends it with an error, when it is polled next.
    fn break_off<T>(&mut self, error: Error, context: &Context<'_>) -> Poll<T> {
        self.claim.call_off();
        self.broken = Some(error);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if let Poll::Ready(frame) = self.poll_body(context) {
            self.wait.over();
            return match frame {
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    self.tally.add(length);
                    if self.is_end_stream() {
                        self.claim.close();
                    }
                    Poll::Ready(Some(Ok(frame)))
                }
                Some(Err(error)) => self.break_off(error, context),
                None if self.claim.has_failed() => self.break_off(Error::HttpResponseIncomplete, context),
                None => {
                    self.claim.close();
                    Poll::Ready(None)
                }
            };
        }
        let limits = self.limits;
        ready!(self.wait.poll(context, || sleep_until(limits.until())));
        self.claim.call_off();
        Poll::Ready(Some(Err(Error::HttpResponseTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        let over = self.begun.front().map_or_else(|| self.body.is_end_stream(), Option::is_none);
        over && !self.claim.has_failed()
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
