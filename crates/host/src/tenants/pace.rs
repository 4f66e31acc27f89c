//! Whether a container keeps its thread for long at a time, by computing or by slow files: others wait for it meanwhile.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A poll is long that takes so much CPU time, in nanoseconds, or so many ticks of the clock: others may have had the processor in
/// some of them.
const LONG: u64 = 1_000_000;
const TICKS: u64 = 10;

/// So many within so many ticks of the clock tell: the first call of much code is long as well.
const MANY: u32 = 3;
const WITHIN: u64 = 500;

/// For how many ticks it is believed.
const BELIEVED: u64 = 30_000;

/// Of one container. Who notes and who asks need not agree on a moment.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the first of the last long polls was.
    since: AtomicU64,
    long: AtomicU32,
    slow_until: AtomicU64,
}

impl Pace {
    /// A poll that began at one tick and is over at another took so much CPU time, as far as is known.
    pub fn note(&self, began: u64, now: u64, cpu: u64) {
        if cpu < LONG && now.saturating_sub(began) < TICKS {
            return;
        }
        if self.since.load(Ordering::Relaxed) + WITHIN < now {
            self.since.store(now, Ordering::Relaxed);
            self.long.store(0, Ordering::Relaxed);
        }
        if self.long.fetch_add(1, Ordering::Relaxed) + 1 >= MANY {
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
    fn whoever_computes_for_long_again_and_again_is_slow_for_a_while() {
        let pace = Pace::default();
        let seldom = (1..10).map(|number| number * (WITHIN + 1));
        seldom.for_each(|now| pace.note(now, now, LONG));
        assert!(!pace.is_slow(10 * WITHIN), "now and then everybody has to");
        let now = 20 * WITHIN;
        (0..u64::from(MANY)).for_each(|later| pace.note(now, now + later, LONG - 1));
        assert!(!pace.is_slow(now), "short polls tell nothing");
        (0..u64::from(MANY)).for_each(|later| pace.note(now, now + TICKS + later, 0));
        assert!(pace.is_slow(now + BELIEVED) && !pace.is_slow(now + 2 * BELIEVED));
    }
}
