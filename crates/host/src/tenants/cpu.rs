//! The CPU time of a container that shares its threads with others: counted around its polls, bounded by its quota,
//! weighed against that of the others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use grants::Cpu;
use rustix::time::{ClockId, clock_gettime};

/// What this thread has run for, in nanoseconds.
pub(super) fn of_this_thread() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + nanoseconds.unwrap_or(0)
}

/// What one container has used and may use.
#[derive(Debug)]
pub(super) struct Meter {
    /// Nanoseconds in a period, and how long that is; 0 for no quota.
    quota: AtomicU64,
    period: AtomicU64,
    weight: AtomicU64,
    total: AtomicU64,
    window: Mutex<Window>,
}

/// The running period of a quota.
#[derive(Debug)]
struct Window {
    begin: Instant,
    used: u64,
    waits: Waits,
}

/// How often a container had to wait for its quota.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Waits {
    pub periods: u64,
    pub throttled_periods: u64,
    /// Nanoseconds.
    pub throttled: u64,
}

impl Meter {
    pub fn new(cpu: Cpu) -> Meter {
        let window = Window { begin: Instant::now(), used: 0, waits: Waits::default() };
        let meter = Meter {
            quota: AtomicU64::new(0),
            period: AtomicU64::new(1),
            weight: AtomicU64::new(1),
            total: AtomicU64::new(0),
            window: Mutex::new(window),
        };
        meter.resize(cpu);
        meter
    }

    /// Another quota and weight from here on.
    pub fn resize(&self, cpu: Cpu) {
        let nanoseconds = |microseconds: u64| microseconds.saturating_mul(1000).max(1);
        self.period.store(nanoseconds(cpu.period), Ordering::Relaxed);
        self.quota.store(cpu.quota.map_or(0, nanoseconds), Ordering::Relaxed);
        self.weight.store(cpu.shares.max(1), Ordering::Relaxed);
    }

    fn quota(&self) -> Option<(u64, u64)> {
        let quota = self.quota.load(Ordering::Relaxed);
        (quota > 0).then(|| (quota, self.period.load(Ordering::Relaxed)))
    }

    pub fn weight(&self) -> u64 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Nanoseconds so far.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub fn waits(&self) -> Waits {
        self.window.lock().unwrap_or_else(PoisonError::into_inner).waits
    }

    /// Adds what a poll took.
    pub fn add(&self, nanoseconds: u64) {
        self.total.fetch_add(nanoseconds, Ordering::Relaxed);
        if let Some(quota) = self.quota() {
            let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
            window.turn(quota, Instant::now());
            window.used = window.used.saturating_add(nanoseconds);
        }
    }

    /// How long the container has to wait, which has run for so long since it was last added to.
    pub fn wait(&self, running: u64) -> Option<Duration> {
        let quota = self.quota()?;
        let now = Instant::now();
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        window.turn(quota, now);
        let wait = window.wait(quota, running, now)?;
        window.waits.throttled_periods += 1;
        window.waits.throttled = window.waits.throttled.saturating_add(wait.as_nanos() as u64);
        Some(wait)
    }
}

impl Window {
    /// Begins a new period when the last one is over. What was used beyond a period's quota is still owed.
    fn turn(&mut self, (quota, period): (u64, u64), now: Instant) {
        let over = now.saturating_duration_since(self.begin).as_nanos() as u64 / period;
        if over > 0 {
            self.begin += Duration::from_nanos(over.saturating_mul(period));
            self.used = self.used.saturating_sub(over.saturating_mul(quota));
            self.waits.periods += 1;
        }
    }

    fn wait(&self, (quota, period): (u64, u64), running: u64, now: Instant) -> Option<Duration> {
        let periods = self.used.saturating_add(running) / quota;
        let end = self.begin.checked_add(Duration::from_nanos(periods.saturating_mul(period)))?;
        Some(end.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn window(used: u64) -> Window {
        Window { begin: Instant::now(), used, waits: Waits::default() }
    }

    #[test]
    fn whoever_used_its_quota_waits_for_the_end_of_the_period() {
        let (quota, window) = ((20 * MS, 100 * MS), window(20 * MS));
        let later = window.begin + Duration::from_millis(30);
        assert_eq!(window.wait(quota, 0, later), Some(Duration::from_millis(70)));
        assert_eq!(self::window(19 * MS).wait(quota, 0, Instant::now()), None);
        assert!(self::window(19 * MS).wait(quota, MS, Instant::now()).is_some());
    }

    #[test]
    fn what_was_used_too_much_is_owed() {
        let quota = (20 * MS, 100 * MS);
        let mut window = window(70 * MS);
        let begin = window.begin;
        assert_eq!(window.wait(quota, 0, begin), Some(Duration::from_millis(300)));
        window.turn(quota, begin + Duration::from_millis(250));
        assert_eq!((window.used, window.begin - begin), (30 * MS, Duration::from_millis(200)));
    }

    #[test]
    fn without_a_quota_nobody_waits() {
        let meter = Meter::new(Cpu::default());
        meter.add(u64::MAX / 2);
        assert_eq!(meter.wait(0), None);
        let meter = Meter::new(Cpu { quota: Some(1), ..Cpu::default() });
        meter.add(MS);
        assert!(meter.wait(0).is_some());
        assert_eq!(meter.waits().throttled_periods, 1);
        meter.resize(Cpu::default());
        assert_eq!(meter.wait(0), None);
    }
}
