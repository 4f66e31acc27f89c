//! A client that asks one thing after the other asks again a moment after its answer, and a thread that has gone to sleep by then
//! has to be woken for each request: for a small one that takes longer than to answer it, on virtual machines several times as
//! long. So a lane that serves one such client stays awake for it, as hypervisors and kernels do for the same reason (halt
//! polling, busy polling). Whoever has a CPU quota is spared: it would be used up by waiting.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::yield_now;

/// For how long.
const MOMENT: Duration = Duration::from_micros(100);

/// A pause between two requests for which it is worth while: what waking takes is part of it.
const SHORT: Duration = Duration::from_micros(200);

/// What a lane knows of the pauses between its requests.
#[derive(Debug)]
pub(super) struct Awake {
    begin: Instant,
    /// When the last request was over, in nanoseconds from then.
    over: AtomicU64,
    /// The last pause was short, and nobody else has asked for anything since.
    one_by_one: AtomicBool,
    idle: Notify,
}

impl Default for Awake {
    fn default() -> Self {
        let (over, one_by_one) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { begin: Instant::now(), over, one_by_one, idle: Notify::new() }
    }
}

impl Awake {
    /// A request has come; it is `alone` if there is no other.
    pub fn asked(&self, alone: bool) {
        let pause = self.now().saturating_sub(self.over.load(Ordering::Relaxed));
        self.one_by_one.store(alone && Duration::from_nanos(pause) < SHORT, Ordering::Relaxed);
    }

    /// The last request is over.
    pub fn answered(&self) {
        self.over.store(self.now(), Ordering::Relaxed);
        if self.one_by_one.load(Ordering::Relaxed) {
            self.idle.notify_one();
        }
    }

    /// Keeps this thread awake after each request that is likely to be followed by another. Returns only by being dropped.
    pub async fn stay(&self, nobody_asks: impl Fn() -> bool) {
        loop {
            self.idle.notified().await;
            let since = Instant::now();
            while nobody_asks() && since.elapsed() < MOMENT {
                // Whoever else wants this processor has it.
                std::thread::yield_now();
                yield_now().await;
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_stays_awake_for_one_client_that_asks_one_thing_after_the_other() {
        let awake = Awake::default();
        let stays = || awake.one_by_one.load(Ordering::Relaxed);
        std::thread::sleep(SHORT);
        awake.asked(true);
        assert!(!stays(), "it comes after a long pause");
        // A test may be held up at any moment: the shortest of many pauses is short.
        let soon = (0..1000).any(|_| {
            awake.answered();
            awake.asked(true);
            stays()
        });
        assert!(soon);
        awake.asked(false);
        assert!(!stays(), "there are others");
    }
}
