//! A server as its process holds it: who asks it to come to its end, and hears what it has done.

use super::counts::Counts;
use super::life::Drain;
use super::traces::Traces;
use crate::protocol::{Served, Traced};

/// Of one server. Clones are of the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) drain: Drain,
    pub(super) counts: Counts,
    pub(super) traces: Traces,
}

impl Handle {
    /// Of one whose requests are told by `tell`, where they are traced: at most [`Traced::MOST`] at a time.
    pub fn new(tell: impl Fn(Vec<Traced>) + Send + Sync + 'static) -> Handle {
        Handle { drain: Drain::default(), counts: Counts::default(), traces: Traces::new(Box::new(tell)) }
    }

    /// Asks it to take no more connections, to answer what it was asked, and to end.
    pub fn drain(&self) {
        self.drain.ask();
    }

    /// What it has done so far.
    pub fn served(&self) -> Served {
        self.counts.read()
    }
}
