//! Work that may be interrupted.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};
use tokio::signal::unix::{SignalKind, signal};

/// Runs what waits for the network or for build commands. SIGINT and SIGTERM end it in order, so that no draft stays behind.
pub fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            result = work => result,
            _ = terminate.recv() => bail!("interrupted by SIGTERM"),
            _ = interrupt.recv() => bail!("interrupted"),
        }
    });
    // A credential helper that still waits for its user holds nobody up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    result
}

/// Writes a file whole, or not at all: SIGINT and SIGTERM wait until it is there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let held = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
    let before = held.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    let written = builder::whole::write(path, bytes);
    before.thread_set_mask()?;
    written
}
