//! The life of a server: it serves, comes to its end in peace, or is ended.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::leash::Leash;

/// Asks a server to take no more connections, to answer what it was asked, and to end. Clones ask the same one.
#[derive(Debug, Clone)]
pub(super) struct Drain(Arc<watch::Sender<bool>>);

impl Default for Drain {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Drain {
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    async fn asked(&self) {
        // The sender lives as long as `self`.
        drop(self.0.subscribe().wait_for(|asked| *asked).await);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Killed,
}

/// Places for what there may be so many of at once.
#[derive(Debug, Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    all: u32,
}

/// One of them, taken until it is dropped.
pub(super) type Place = OwnedSemaphorePermit;

impl Places {
    pub fn new(all: u32) -> Places {
        let count = usize::try_from(all).unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Places { free: Arc::new(Semaphore::new(count)), all }
    }

    pub fn try_take(&self) -> Option<Place> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// Waits for a free one, in turn. `None`: there will be none any more.
    pub async fn take(&self) -> Option<Place> {
        self.free.clone().acquire_owned().await.ok()
    }

    /// Waits until all are free.
    pub async fn all_free(&self) {
        drop(self.free.acquire_many(self.all).await);
    }
}

/// What ends a server, and knows when it has ended.
pub(super) struct Life {
    drain: Drain,
    phase: watch::Sender<Phase>,
    pub connections: Places,
    leashes: Mutex<HashMap<u64, Arc<Leash>>>,
    leashes_so_far: AtomicU64,
}

impl Life {
    pub fn new(drain: Drain, connections: u32) -> Life {
        Life {
            drain,
            phase: watch::Sender::new(Phase::Serving),
            connections: Places::new(connections),
            leashes: Mutex::default(),
            leashes_so_far: AtomicU64::new(0),
        }
    }

    /// Returns when the server is to come to its end.
    pub async fn end_asked(&self) {
        self.drain.asked().await;
    }

    /// Connections finish what they are at, instances without a request go.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
        self.leashes().values().for_each(|leash| leash.leave());
    }

    /// Instances without a request go, and those with one as soon as they have answered: their places are wanted.
    pub fn make_room(&self) {
        self.leashes().values().for_each(|leash| leash.leave());
    }

    /// All of it ends now.
    pub fn kill(&self) {
        self.advance(Phase::Killed);
        self.leashes().values().for_each(|leash| leash.cut());
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let before = *phase;
            *phase = before.max(to);
            *phase != before
        });
    }

    pub fn is_draining(&self) -> bool {
        *self.phase.borrow() >= Phase::Draining
    }

    pub async fn draining(&self) {
        drop(self.phase.subscribe().wait_for(|phase| *phase >= Phase::Draining).await);
    }

    pub async fn killed(&self) {
        drop(self.phase.subscribe().wait_for(|phase| *phase == Phase::Killed).await);
    }

    /// A new instance's leash, with the number by which it is given back.
    pub fn leash(&self) -> (u64, Arc<Leash>) {
        let number = self.leashes_so_far.fetch_add(1, Ordering::Relaxed);
        let leash = Arc::new(Leash::default());
        let mut leashes = self.leashes();
        match *self.phase.borrow() {
            Phase::Serving => {}
            Phase::Draining => leash.leave(),
            Phase::Killed => leash.cut(),
        }
        leashes.insert(number, leash.clone());
        (number, leash)
    }

    pub fn give_back(&self, number: u64) {
        self.leashes().remove(&number);
    }

    fn leashes(&self) -> MutexGuard<'_, HashMap<u64, Arc<Leash>>> {
        self.leashes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
