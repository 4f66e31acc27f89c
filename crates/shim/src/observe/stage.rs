//! The steps of a container's beginning, timed: for the histograms of [`super::metrics`] and the spans of
//! [`super::traces`]. Where neither is asked for, a step costs two looks at the clock.

use std::future::Future;
use std::time::{Instant, SystemTime};

use super::{metrics, traces};

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// All that a Create takes, the two below included.
    Create,
    /// Wasm to machine code, where the cache does not have it.
    Compile,
    /// The code is loaded and linked in its host, and the guest's files are opened: from the launch to the host's word that
    /// it is ready.
    Instantiate,
    Start,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Create => "create",
            Stage::Compile => "compile",
            Stage::Instantiate => "instantiate",
            Stage::Start => "start",
        }
    }
}

/// Does a step, and tells how long it took and whether it failed.
pub async fn stage<T, E: ToString>(stage: Stage, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let (begun, since) = (SystemTime::now(), Instant::now());
    let result = work.await;
    let took = since.elapsed();
    metrics::took(stage, took);
    traces::step(stage, begun, took, || result.as_ref().err().map(ToString::to_string));
    result
}
