//! A wait with an end, for the next piece of a body. Only waiting counts, not the time that its reader takes to read on.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Sleep;

/// A wait, if somebody waits.
#[derive(Default)]
pub(super) struct Wait(Option<Pin<Box<Sleep>>>);

impl Wait {
    /// What was waited for has come.
    pub fn over(&mut self) {
        self.0 = None;
    }

    /// Waits on, or begins to, until `end`. Ready when it was in vain.
    pub fn poll(&mut self, context: &mut Context<'_>, end: impl FnOnce() -> Sleep) -> Poll<()> {
        self.0.get_or_insert_with(|| Box::pin(end())).as_mut().poll(context)
    }
}
