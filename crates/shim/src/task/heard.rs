//! What a host says of a guest while that runs.

use std::sync::{Mutex, MutexGuard};

use host::protocol::Served;
use tokio::sync::oneshot;

use super::container::lock;
use crate::denied::Denied;

/// Of one guest.
#[derive(Debug, Default)]
pub struct Heard {
    /// What it was denied, as its host has told so far.
    denied: Mutex<Denied>,
    /// Who has asked what it has done, and waits for the answer.
    waiting: Mutex<Vec<oneshot::Sender<Served>>>,
}

impl Heard {
    pub fn denied(&self) -> MutexGuard<'_, Denied> {
        lock(&self.denied)
    }

    /// Waits for what the guest has done. Calls `ask` unless somebody has asked before and waits still.
    pub async fn served<E>(&self, ask: impl FnOnce() -> Result<(), E>) -> Option<Served> {
        let (sender, served) = oneshot::channel();
        let first = {
            let mut waiting = lock(&self.waiting);
            // Those that have been given up.
            waiting.retain(|sender| !sender.is_closed());
            waiting.push(sender);
            waiting.len() == 1
        };
        if first {
            ask().ok()?;
        }
        served.await.ok()
    }

    /// The host has told what the guest has done.
    pub fn counted(&self, served: &Served) {
        for sender in lock(&self.waiting).drain(..) {
            // Whoever asked may not wait any more.
            let _gone = sender.send(served.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_host_is_asked_once_for_all_who_wait() {
        let (heard, asked) = (Heard::default(), AtomicU32::new(0));
        let ask = || {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok::<_, ()>(())
        };
        let answer = Served { failures: 7, ..Served::default() };
        let (one, other, ()) =
            tokio::join!(heard.served(ask), heard.served(ask), async { heard.counted(&answer) });
        assert_eq!((one.as_ref(), other.as_ref()), (Some(&answer), Some(&answer)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(heard.served(|| Err(())).await, None, "a host that does not listen");
    }
}
