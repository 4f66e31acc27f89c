//! Waiting for what another process does: by asking again, never by a guessed pause.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is an answer; fails after `seconds` with `what` was waited for.
pub fn until<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {seconds} s in vain: {what}");
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits until something holds.
pub fn eventually(what: &str, seconds: u64, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, seconds, || Ok(holds()?.then_some(())))
}
