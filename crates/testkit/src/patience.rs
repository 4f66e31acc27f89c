//! Waiting for what another process does: by asking again, never by a guessed pause.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(10);

/// How many times longer than an ordinary machine this one may take, a whole number: for emulated ones.
const SLOWNESS: &str = "RUN_WASM_TESTS_SLOWNESS";

/// What may take `seconds` on an ordinary machine, in the seconds of this one.
pub(crate) fn here(seconds: u64) -> u64 {
    let slowness = std::env::var(SLOWNESS).ok().and_then(|text| text.parse().ok());
    seconds.saturating_mul(slowness.unwrap_or(1))
}

/// Asks until there is an answer; fails after `seconds` of an ordinary machine with `what` was waited for.
pub fn until<T>(what: &str, seconds: u64, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    asking(PAUSE, what, seconds, ask)
}

/// The same with a pause between two questions that fits what is asked.
pub(crate) fn asking<T>(
    pause: Duration,
    what: &str,
    seconds: u64,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let seconds = here(seconds);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            bail!("waited {seconds} s in vain: {what}");
        }
        std::thread::sleep(pause);
    }
}

/// Waits until something holds.
pub fn eventually(what: &str, seconds: u64, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, seconds, || Ok(holds()?.then_some(())))
}
