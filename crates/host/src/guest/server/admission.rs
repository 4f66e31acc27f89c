//! How many requests are answered at once, and how many wait: never any number.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::timeout;

use super::life::{Place, Places};

/// The longest wait for a place.
const WAIT: Duration = Duration::from_secs(5);

/// The fewest that may wait, also for a server that answers one request at a time.
const FEWEST_WAITING: u32 = 32;

pub(super) struct Admission {
    places: Places,
    waiting: AtomicU32,
    may_wait: u32,
    wait: Duration,
}

impl Admission {
    /// For so many at once. As many may wait, and not longer than an answer may take.
    pub fn new(at_once: u32, patience: Duration) -> Admission {
        Admission {
            places: Places::new(at_once),
            waiting: AtomicU32::new(0),
            may_wait: at_once.max(FEWEST_WAITING),
            wait: patience.min(WAIT),
        }
    }

    /// A place for a request; `None` when there are too many of them.
    pub async fn enter(&self) -> Option<Place> {
        if let Some(place) = self.places.try_take() {
            return Some(place);
        }
        let _waiting = Waiting::begin(&self.waiting, self.may_wait)?;
        timeout(self.wait, self.places.take()).await.ok().flatten()
    }
}

/// One that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicU32, most: u32) -> Option<Waiting<'a>> {
        let waits = Waiting(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(waits)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_that_is_free_again_is_given_to_who_waits() {
        let admission = Admission::new(1, Duration::from_secs(60));
        let first = admission.enter().await;
        let (second, ()) = tokio::join!(admission.enter(), async { drop(first) });
        assert!(second.is_some());
    }

    #[tokio::test]
    async fn whoever_waits_too_long_or_among_too_many_is_turned_away() {
        let admission = Admission::new(1, Duration::from_millis(20));
        let _first = admission.enter().await;
        let others: Vec<_> = (0..FEWEST_WAITING)
            .map(|_| Waiting::begin(&admission.waiting, FEWEST_WAITING).unwrap())
            .collect();
        assert!(admission.enter().await.is_none(), "one more than may wait");
        drop(others);
        assert!(admission.enter().await.is_none(), "too long");
    }
}
