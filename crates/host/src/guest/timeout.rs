//! The time limit of a guest, kept by another thread than the one that runs it: whatever the guest is in the middle of,
//! a loop, a copy of its memory or a call of the host, that thread is free.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::Outcome;
use super::stdio::Stdio;

/// How long what the guest has written may take to reach its reader.
const GRACE: Duration = Duration::from_secs(2);

/// Who ended a guest: itself, or its time limit. The first to say so did.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending(Arc<AtomicBool>);

impl Ending {
    /// Whether the caller is the first.
    pub fn claim(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }
}

/// A guest's time limit, for whoever keeps the time.
pub struct Timeout {
    limit: Duration,
    ending: Ending,
    stdio: Stdio,
}

impl Timeout {
    pub(super) fn new(limit: Duration, ending: Ending, stdio: Stdio) -> Self {
        Self { limit, ending, stdio }
    }

    /// From the guest's start.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Ends the guest, unless it has ended by itself. Its thread may go on computing but is not heard any more: the
    /// process has to end.
    pub fn end(self) -> Option<Outcome> {
        if !self.ending.claim() {
            return None;
        }
        let outcome = Outcome::timed_out(self.limit);
        self.stdio.close(outcome.reason.as_deref().unwrap_or_default(), GRACE);
        Some(outcome)
    }
}
