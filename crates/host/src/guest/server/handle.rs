//! A server as its process holds it: who asks it to come to its end, and hears what it has done.

use super::counts::Counts;
use super::life::Drain;
use crate::protocol::Served;

/// Of one server. Clones are of the same one.
#[derive(Debug, Clone, Default)]
pub struct Handle {
    pub(super) drain: Drain,
    pub(super) counts: Counts,
}

impl Handle {
    /// Asks it to take no more connections, to answer what it was asked, and to end.
    pub fn drain(&self) {
        self.drain.ask();
    }

    /// What it has done so far.
    pub fn served(&self) -> Served {
        self.counts.read()
    }
}
