//! Whether a container keeps its thread for long at a time, by computing or by slow files: others wait for it meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::ticker::TICK;

/// A poll is long that takes so much CPU time, in nanoseconds, or so many ticks of the clock: others may have had the processor in
/// some of them.
const LONG: u64 = 1_000_000;
const TICKS: u64 = 10;

/// So much time in long polls, in nanoseconds, within so many ticks tells, if each request has a long poll's part in it: the first
/// call of much code is long as well, and so is a poll in which a guest answers many.
const MUCH: u64 = 50_000_000;
const WITHIN: u64 = ticks(Duration::from_secs(1));

/// For how many ticks it is believed.
const BELIEVED: u64 = ticks(Duration::from_secs(60));

const fn ticks(time: Duration) -> u64 {
    (time.as_millis() / TICK.as_millis()) as u64
}

/// Of one container. Who notes and who asks need not agree on a moment.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the first of the last long polls was, and what they have taken together.
    since: AtomicU64,
    spent: AtomicU64,
    /// How many requests there were since then.
    requests: AtomicU64,
    slow_until: AtomicU64,
}

impl Pace {
    /// It has one more request to answer.
    pub fn asked(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// A poll that began at one tick and is over at another took so much CPU time, as far as is known.
    pub fn note(&self, began: u64, now: u64, cpu: u64) {
        let took = now.saturating_sub(began);
        let waited = if took < TICKS { 0 } else { took.saturating_mul(TICK.as_nanos() as u64) };
        if cpu < LONG && waited == 0 {
            return;
        }
        if self.since.load(Ordering::Relaxed) + WITHIN < now {
            self.since.store(now, Ordering::Relaxed);
            self.spent.store(0, Ordering::Relaxed);
            self.requests.store(0, Ordering::Relaxed);
        }
        let took = cpu.max(waited);
        let spent = self.spent.fetch_add(took, Ordering::Relaxed).saturating_add(took);
        if spent >= MUCH.max(self.requests.load(Ordering::Relaxed).saturating_mul(LONG)) {
            self.slow_until.store(now + BELIEVED, Ordering::Relaxed);
        }
    }

    pub fn is_slow(&self, now: u64) -> bool {
        self.slow_until.load(Ordering::Relaxed) > now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_long_at_it_much_of_the_time_is_slow_for_a_while() {
        let pace = Pace::default();
        let seldom = (1..10).map(|number| number * (WITHIN + 1));
        seldom.for_each(|now| pace.note(now, now, MUCH - 1));
        assert!(!pace.is_slow(10 * WITHIN), "now and then everybody has to");
        let now = 20 * WITHIN;
        (0..1000).for_each(|_| pace.note(now, now + 1, LONG - 1));
        assert!(!pace.is_slow(now), "short polls tell nothing");
        (0..2 * MUCH / LONG).for_each(|_| {
            pace.asked();
            pace.asked();
            pace.note(now, now, LONG);
        });
        assert!(!pace.is_slow(now), "many were answered in each");
        let now = 30 * WITHIN;
        (0..MUCH / LONG).for_each(|_| pace.note(now, now, LONG));
        assert!(pace.is_slow(now + BELIEVED - 1) && !pace.is_slow(now + BELIEVED));
    }

    #[test]
    fn whoever_waits_for_slow_files_is_slow_as_well() {
        let pace = Pace::default();
        let now = 20 * WITHIN;
        (0..3).for_each(|_| pace.note(now, now + TICKS, 0));
        assert!(pace.is_slow(now + TICKS));
    }
}
