//! Bodies of requests and responses: with a limit, and watched, so that a stall is noticed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::Response;
use tokio::time::{Instant, sleep, timeout_at};

use super::retry::Fault;

/// How much is handed to the connection at a time, in bytes.
const PIECE: usize = 64 << 10;

/// Fewer bytes than these in the time of a stall are a trickle, which is a stall, too.
const TRICKLE: u64 = 1024;

/// A request's body that counts what the connection has taken of it.
#[derive(Debug)]
pub(super) struct Counted {
    rest: Bytes,
    taken: Arc<AtomicU64>,
}

impl Counted {
    pub fn new(bytes: Bytes, taken: Arc<AtomicU64>) -> Counted {
        Counted { rest: bytes, taken }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// Waits for `future`, and gives up when `moved` stands still for the time of a stall.
pub(super) async fn unless_stalled<T>(
    future: impl Future<Output = T>,
    moved: &AtomicU64,
    stall: Duration,
) -> Result<T, Fault> {
    let mut future = std::pin::pin!(future);
    let mut seen = moved.load(Ordering::Relaxed);
    loop {
        tokio::select! {
            done = &mut future => return Ok(done),
            () = sleep(stall) => {}
        }
        let now = moved.load(Ordering::Relaxed);
        if now == seen {
            return Err(stalled(stall));
        }
        seen = now;
    }
}

/// Reads a response piece by piece.
#[derive(Debug)]
pub(super) struct Reader {
    response: Response,
    stall: Duration,
    /// When the present window ends, and what came in it.
    until: Instant,
    came: u64,
}

impl Reader {
    pub fn new(response: Response, stall: Duration) -> Reader {
        Reader { response, stall, until: Instant::now() + stall, came: 0 }
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        let piece = timeout_at(self.until, self.response.chunk())
            .await
            .map_err(|_| stalled(self.stall))?
            .map_err(|error| Fault::Lost(root_cause(&error)))?;
        self.came += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.came >= TRICKLE {
            self.until = Instant::now() + self.stall;
            self.came = 0;
        }
        Ok(piece)
    }

    /// The whole body; `Ok(None)` when it has more than `limit` bytes, of which no more are read.
    pub async fn whole(mut self, limit: u64) -> Result<Option<Bytes>, Fault> {
        if self.response.content_length().is_some_and(|length| length > limit) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        while let Some(piece) = self.next().await? {
            if (bytes.len() + piece.len()) as u64 > limit {
                return Ok(None);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes.into()))
    }
}

fn stalled(stall: Duration) -> Fault {
    Fault::Lost(format!("nothing moved for {} s", stall.as_secs_f64()))
}

/// What lies at the bottom of an error: the words of the operating system rather than of the layers above it.
pub(super) fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        cause = error.to_string();
        next = error.source();
    }
    super::error::tame(&cause)
}
