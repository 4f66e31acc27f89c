//! The body of a request, on its way to the guest: bounded in size, and in each wait for more of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::watch;
use tokio::time::sleep;
use wasmtime_wasi_http::Error;

use super::super::wait::Wait;
use super::refusal::Refusal;

/// Where a body says what is wrong with it, so that the client hears it, whatever the guest makes of the error.
#[derive(Debug, Clone)]
pub(super) struct Complaint(Arc<watch::Sender<Option<Refusal>>>);

impl Default for Complaint {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Complaint {
    fn make(&self, refusal: Refusal) {
        self.0.send_if_modified(|made| made.replace(refusal).is_none());
    }

    /// Returns when there is one.
    pub async fn made(&self) -> Refusal {
        let mut made = self.0.subscribe();
        let found = made.wait_for(Option::is_some).await.ok().and_then(|refusal| *refusal);
        found.unwrap_or(Refusal::Failed)
    }
}

pub(super) struct Question {
    body: Incoming,
    /// Bytes that may still come.
    room: u64,
    patience: Duration,
    wait: Wait,
    complaint: Complaint,
}

impl Question {
    pub fn new(body: Incoming, most: Option<u64>, patience: Duration, complaint: Complaint) -> Question {
        Question { body, room: most.unwrap_or(u64::MAX), patience, wait: Wait::default(), complaint }
    }
}

impl Body for Question {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.wait.over();
            let length =
                frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            let Some(room) = self.room.checked_sub(length as u64) else {
                self.complaint.make(Refusal::TooLarge);
                return Poll::Ready(Some(Err(Error::HttpRequestBodySize(None))));
            };
            self.room = room;
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        let patience = self.patience;
        ready!(self.wait.poll(context, || sleep(patience)));
        self.complaint.make(Refusal::TooSlow);
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
