//! Work that may be interrupted.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::signals::Signals;

/// Runs what waits for the network or for build commands. SIGINT, SIGTERM, SIGQUIT and SIGHUP end it in order, so that no draft
/// stays behind, and no build command.
pub fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            result = work => result,
            number = signals.next() => {
                bail!("interrupted by {}", Signal::try_from(number).map_or("a signal", Signal::as_str))
            }
        }
    });
    // A credential helper that still waits for its user holds nobody up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// Writes a file whole, or not at all: the signals that end a program wait until it is there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let held = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGHUP]);
    let before = held.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let written = builder::whole::write(path, bytes);
    before.thread_set_mask()?;
    written
}
