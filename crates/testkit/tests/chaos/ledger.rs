//! What is known to all: which faults there were, which calls were made, and what was wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub struct Ledger {
    /// Odd while a fault is under way; a call between two equal even numbers met none.
    epoch: AtomicU64,
    /// Of the last fault that may have ended containers.
    deadly: AtomicU64,
    calls: Mutex<BTreeMap<&'static str, [u64; 3]>>,
    faults: Mutex<BTreeMap<&'static str, u64>>,
    violations: Mutex<Vec<String>>,
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// Refused, as it should be.
    Refused,
    /// A fault was under way: whatever was answered may be right.
    Unjudged,
}

impl Ledger {
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Whether there was no fault since `epoch`, nor at it.
    pub fn is_calm_since(&self, epoch: u64) -> bool {
        epoch.is_multiple_of(2) && self.epoch() == epoch
    }

    /// Whether containers that lived at `epoch` may have been ended since.
    pub fn was_deadly_since(&self, epoch: u64) -> bool {
        self.deadly.load(Ordering::SeqCst) > epoch
    }

    pub fn begin(&self, fault: &'static str, deadly: bool) {
        let epoch = self.epoch.fetch_add(1, Ordering::SeqCst) + 1;
        if deadly {
            self.deadly.store(epoch + 1, Ordering::SeqCst);
        }
        *lock(&self.faults).entry(fault).or_default() += 1;
    }

    pub fn over(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    pub fn answered(&self, call: &'static str, answer: Answer) {
        let mut calls = lock(&self.calls);
        let [done, refused, unjudged] = calls.entry(call).or_default();
        *match answer {
            Answer::Done => done,
            Answer::Refused => refused,
            Answer::Unjudged => unjudged,
        } += 1;
    }

    pub fn violated(&self, what: String) {
        lock(&self.violations).push(what);
    }

    pub fn violations(&self) -> Vec<String> {
        lock(&self.violations).clone()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = lock(&self.calls);
        let sum: u64 = calls.values().flatten().sum();
        writeln!(f, "{sum} operations (done, rightly refused, not judged under a fault):")?;
        for (call, [done, refused, unjudged]) in calls.iter() {
            writeln!(f, "  {call:<10} {done:>6} {refused:>6} {unjudged:>6}")?;
        }
        let faults = lock(&self.faults);
        writeln!(f, "{} faults:", faults.values().sum::<u64>())?;
        for (fault, count) in faults.iter() {
            writeln!(f, "  {count:>4} {fault}")?;
        }
        write!(f, "violations: {}", lock(&self.violations).len())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
