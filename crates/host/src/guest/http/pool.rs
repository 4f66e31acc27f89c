//! Connections that are kept for the next request to the same server, for a while.
//!
//! They are one container's: what its grants allow does not change in its life, and nobody else gets them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};

use super::Server;
use super::link::Link;

/// How long a connection is kept that nobody uses. Most servers give one up after a minute or more: rather we than they, when a
/// request is about to go there.
const KEPT: Duration = Duration::from_secs(30);

/// The most that are kept, all in all.
const MOST: usize = 32;

/// The connections of one container.
#[derive(Default)]
pub(super) struct Pool(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    idle: Vec<Idle>,
    /// Closes them in time; there is one while there are any.
    closer: Option<AbortOnDropJoinHandle<()>>,
}

struct Idle {
    server: Server,
    link: Link,
    since: Instant,
}

impl Pool {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to `server` that is ready for a request, if there is one.
    pub fn take(self: &Arc<Self>, server: &Server) -> Option<Lease> {
        let idle = &mut self.kept().idle;
        idle.retain(|idle| !idle.link.is_closed());
        // The one that was used last is the least likely to be given up by the server.
        let place = idle.iter().rposition(|idle| idle.server == *server && idle.link.is_ready())?;
        let link = match idle.get_mut(place) {
            Some(Idle { link, since, .. }) if let Some(another) = link.share() => {
                *since = Instant::now();
                another
            }
            _ => idle.remove(place).link,
        };
        Some(self.lease(server.clone(), link))
    }

    /// A new connection, which others may share where it bears that.
    pub fn add(self: &Arc<Self>, server: Server, link: Link) -> Lease {
        if let Some(another) = link.share() {
            self.keep(server.clone(), another);
        }
        self.lease(server, link)
    }

    fn lease(self: &Arc<Self>, server: Server, link: Link) -> Lease {
        Lease { pool: self.clone(), server, link, _over: None }
    }

    fn keep(self: &Arc<Self>, server: Server, link: Link) {
        let mut kept = self.kept();
        while kept.idle.len() >= MOST {
            kept.close_oldest();
        }
        kept.idle.push(Idle { server, link, since: Instant::now() });
        if kept.closer.is_none() {
            kept.closer = Some(spawn(close_in_time(Arc::downgrade(self))));
        }
    }

    /// Closes those that were kept for long enough, and returns when the next one will have been.
    pub fn close_old(&self, now: Instant) -> Option<Instant> {
        let mut kept = self.kept();
        let next = kept.close_old(now);
        if next.is_none() {
            // It is at its end, or there is nothing for it to do.
            kept.closer = None;
        }
        next
    }

    /// Closes the connection that was not used for the longest time; whether there was any.
    pub fn make_room(&self) -> bool {
        self.kept().close_oldest()
    }
}

impl Kept {
    fn close_oldest(&mut self) -> bool {
        let oldest = self.idle.iter().enumerate().min_by_key(|(_, idle)| idle.since);
        oldest.map(|(place, _)| place).map(|place| self.idle.remove(place)).is_some()
    }

    fn close_old(&mut self, now: Instant) -> Option<Instant> {
        self.idle.retain_mut(|idle| {
            if idle.link.is_shared() {
                idle.since = now;
            }
            !idle.link.is_closed() && now.duration_since(idle.since) < KEPT
        });
        self.idle.iter().map(|idle| idle.since + KEPT).min()
    }
}

/// Ends when there is nothing left to close, or the pool is gone.
async fn close_in_time(pool: Weak<Pool>) {
    while let Some(pool) = pool.upgrade() {
        let next = pool.close_old(Instant::now());
        drop(pool);
        match next {
            Some(next) => sleep_until(next).await,
            None => return,
        }
    }
}

/// A connection in use for one request. Dropped before the response is whole, it is not used again.
pub(super) struct Lease {
    pool: Arc<Pool>,
    server: Server,
    link: Link,
    /// Dropped at its end.
    _over: Option<oneshot::Sender<()>>,
}

impl Lease {
    /// The same, and `over` is dropped when it ends.
    pub fn until(self, over: oneshot::Sender<()>) -> Lease {
        Lease { _over: Some(over), ..self }
    }

    pub fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    /// The response is whole: the connection is kept for another request. One that bears several is kept already.
    pub fn give_back(self) {
        if !self.link.is_closed() && self.link.share().is_none() {
            self.pool.keep(self.server, self.link);
        }
    }
}
