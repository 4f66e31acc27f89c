//! The body of an answer, on its way to the client: the guest may not stop for too long in the middle of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::{Error, WasiBody};

use super::access::Entry;
use super::leash::Ticket;
use super::life::Place;

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
    limits: Limits,
    waiting: Option<Pin<Box<Sleep>>>,
    /// With what it breaks off, when the client has been given the time to get what came before: hyper drops what it has not
    /// written by then, and writes when it has to wait.
    broken: Option<Error>,
    /// That of the request; closed when the answer was given.
    claim: Claim,
    entry: Option<Entry>,
    _place: Option<Place>,
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
        body: WasiBody,
        limits: Limits,
        claim: Claim,
        entry: Option<Entry>,
        place: Option<Place>,
    ) -> Answer {
        let mut answer = Answer { body, limits, waiting: None, broken: None, claim, entry, _place: place };
        if answer.body.is_end_stream() {
            answer.claim.close();
        }
        answer
    }
}

impl Answer {
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
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            return match frame {
                Some(Ok(frame)) => {
                    let length = frame.data_ref().map_or(0, Bytes::len);
                    if let Some(entry) = &mut self.entry {
                        entry.add(length);
                    }
                    if self.body.is_end_stream() {
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
        let until = self.limits.until();
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(waiting.as_mut().poll(context));
        self.claim.call_off();
        Poll::Ready(Some(Err(Error::HttpResponseTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
