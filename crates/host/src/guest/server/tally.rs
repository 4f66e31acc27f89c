//! One request from its head to the end of its answer: counted, and told where the pod asks for it.

use std::time::Instant;

use http::StatusCode;

use super::access::Entry;
use super::counts::Counts;
use super::traces::Trace;

/// Dropped when the request is over.
pub(super) struct Tally {
    counts: Counts,
    entry: Option<Entry>,
    trace: Option<Trace>,
    status: StatusCode,
    began: Instant,
}

impl Tally {
    pub fn begin(counts: Counts, entry: Option<Entry>, trace: Option<Trace>) -> Tally {
        counts.began();
        // What it has if nobody answers: 499 is what others log of a client that went away.
        let status = StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT);
        Tally { counts, entry, trace, status, began: Instant::now() }
    }

    pub fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// So many bytes of the answer's body are on their way.
    pub fn add(&mut self, bytes: usize) {
        if let Some(entry) = &mut self.entry {
            entry.add(bytes);
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        self.counts.over(self.status, took);
        if let Some(entry) = &self.entry {
            entry.tell(self.status, took);
        }
        if let Some(trace) = self.trace.take() {
            trace.end(self.status, took);
        }
    }
}
