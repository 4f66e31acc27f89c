//! Work that several clients do at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Error, Result};

/// What was done, in no order, and what ended it early.
pub struct Done<R> {
    pub results: Vec<R>,
    pub refused: Option<Error>,
}

impl<R> Done<R> {
    /// All results; an error if there is one.
    pub fn all(self) -> Result<Vec<R>> {
        self.refused.map_or(Ok(self.results), Err)
    }
}

/// Does `work` once for each item, each client one after another of them. The first that fails is the last that is begun.
pub fn each<'a, C: Sync, T: Sync, R: Send>(
    clients: &[C],
    items: &'a [T],
    work: impl Fn(&C, &'a T) -> Result<R> + Sync,
) -> Done<R> {
    let (next, refused) = (AtomicUsize::new(0), Mutex::new(None));
    let serve = |client: &C| {
        let mut results = Vec::new();
        while lock(&refused).is_none()
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            match work(client, item) {
                Ok(result) => results.push(result),
                Err(error) => drop(lock(&refused).get_or_insert(error)),
            }
        }
        results
    };
    let results = std::thread::scope(|scope| {
        let serving: Vec<_> = clients.iter().map(|client| scope.spawn(|| serve(client))).collect();
        let joined = serving.into_iter().map(|thread| thread.join());
        joined.flat_map(|results| results.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    Done { results, refused: refused.into_inner().unwrap_or_else(PoisonError::into_inner) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    fn every_item_is_done_once_whoever_does_it() {
        let mut done = each(&["a", "b", "c"], &[1, 2, 3, 4, 5], |_, item| Ok(item * 10)).all().unwrap();
        done.sort();
        assert_eq!(done, [10, 20, 30, 40, 50]);
    }

    #[test]
    fn nothing_is_begun_after_a_failure() {
        let done = each(&[()], &[1, 2, 3], |_, item| {
            anyhow::ensure!(*item < 2, "two is too many");
            Ok(*item)
        });
        assert_eq!(
            (done.results, done.refused.unwrap().to_string()),
            (vec![1], "two is too many".to_owned())
        );
    }
}
