//! The body of a response: it flows only as fast as the guest reads, waits only so long for its next bytes, and gives its connection
//! back when it is whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::sleep;
use wasmtime_wasi_http::Error;

use super::super::wait::Wait;
use super::errors;
use super::pool::Lease;

/// A body with a limit on each wait.
pub(super) struct Patient {
    body: Incoming,
    patience: Duration,
    wait: Wait,
    lease: Option<Lease>,
}

impl Patient {
    pub fn new(body: Incoming, patience: Duration, lease: Lease) -> Self {
        let mut patient = Self { body, patience, wait: Wait::default(), lease: Some(lease) };
        if patient.body.is_end_stream() {
            patient.is_whole();
        }
        patient
    }

    fn is_whole(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.wait.over();
            match &frame {
                Some(Err(_)) => self.lease = None,
                Some(Ok(_)) if !self.body.is_end_stream() => {}
                Some(Ok(_)) | None => self.is_whole(),
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(errors::of_hyper)));
        }
        let patience = self.patience;
        ready!(self.wait.poll(context, || sleep(patience)));
        Poll::Ready(Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
