//! Calls that were denied: counted by kind, and told to the shim in a sentence that says what would allow them.
//!
//! None of it reaches the guest, which sees the error that WASI has for the call. To deny is cheap: an atomic counter,
//! and a sentence only for the 1st, the 10th, the 100th call of a kind.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::{Counts, Denial, Kind};

/// The denied calls of one container. Clones count together.
#[derive(Clone)]
pub struct Denials(Arc<Inner>);

struct Inner {
    counts: [AtomicU64; Kind::ALL.len()],
    report: Box<dyn Fn(Denial) + Send + Sync>,
}

impl Denials {
    /// `report` hears of few of them, see [`Denial`]. It is called by the thread that denies.
    pub fn new(report: impl Fn(Denial) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { counts: Default::default(), report: Box::new(report) }))
    }

    /// Counts a denied call. `sentence` says what was denied and what would allow it, such as
    /// `connect to 10.0.0.1:80/tcp denied: run.wasm/egress: "10.0.0.1:80" allows it`.
    pub fn note(&self, kind: Kind, sentence: impl FnOnce() -> String) {
        // The place in `ALL` is that of the declaration.
        let Some(counter) = self.0.counts.get(kind as usize) else { return };
        let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
        if is_power_of_ten(count) {
            (self.0.report)(Denial { kind, count, sentence: sentence() });
        }
    }

    /// How many there were so far.
    pub fn counts(&self) -> Counts {
        let counts = self.0.counts.iter().map(|counter| counter.load(Ordering::Relaxed));
        Kind::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}

impl fmt::Debug for Denials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Denials").field(&self.counts()).finish()
    }
}

fn is_power_of_ten(count: u64) -> bool {
    count.checked_ilog10().and_then(|digits| 10u64.checked_pow(digits)) == Some(count)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn few_are_told_and_all_are_counted() {
        let told: Arc<Mutex<Vec<Denial>>> = Arc::default();
        let heard = told.clone();
        let denials = Denials::new(move |denial| heard.lock().unwrap().push(denial));
        for number in 1..=123 {
            denials.clone().note(Kind::Connect, || format!("the call {number}"));
        }
        denials.note(Kind::Http, || "a request".into());
        let told = told.lock().unwrap();
        let seen: Vec<_> = told.iter().map(|d| (d.kind, d.count, d.sentence.as_str())).collect();
        assert_eq!(
            seen,
            [
                (Kind::Connect, 1, "the call 1"),
                (Kind::Connect, 10, "the call 10"),
                (Kind::Connect, 100, "the call 100"),
                (Kind::Http, 1, "a request"),
            ]
        );
        assert_eq!(denials.counts(), [(Kind::Connect, 123), (Kind::Http, 1)].into());
    }

    #[test]
    fn every_kind_has_its_counter() {
        let denials = Denials::new(|_| {});
        Kind::ALL.iter().for_each(|kind| denials.note(*kind, String::new));
        assert_eq!(denials.counts(), Kind::ALL.map(|kind| (kind, 1)).into());
    }
}
