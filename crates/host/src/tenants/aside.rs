//! A guest that turns out to keep a thread on which many are answered: it steps aside. It goes on where it is, and whatever else
//! the thread had to do goes on in another one.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

use super::ticker;

/// So many at once in this process.
const MOST: usize = 8;

/// For so many ticks at a time: then whoever ends guests is asked whether it may go on.
const TURN: u64 = 500;

/// How long the other work may take to go on.
const SOON: Duration = Duration::from_millis(20);

/// Threads that nobody uses stay: each is known by a number, and has a place where its sockets are asked for.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

static ASIDE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static MANY_ARE_ANSWERED: Cell<bool> = const { Cell::new(false) };
}

/// A runtime on one thread, for those who may have to step aside.
pub(super) fn runtime() -> Builder {
    let mut runtime = Builder::new_multi_thread();
    runtime.worker_threads(1).max_blocking_threads(MOST + 1).thread_keep_alive(FOR_EVER);
    runtime.on_thread_start(|| MANY_ARE_ANSWERED.set(true));
    runtime
}

/// A guest that is aside, until it is dropped.
pub(super) struct Aside {
    since: u64,
}

impl Aside {
    /// Has the guest of this poll step aside; `None` where there is nobody to make way for, or no room.
    pub fn step() -> Option<Aside> {
        let one_more = |aside| (aside < MOST).then_some(aside + 1);
        if !MANY_ARE_ANSWERED.get()
            || ASIDE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err()
        {
            return None;
        }
        let aside = Aside { since: ticker::now() };
        tokio::task::block_in_place(|| {
            // The runtime has another thread for its other work, or would take it back to this one.
            let (goes_on, others) = mpsc::sync_channel(1);
            drop(Handle::current().spawn(async move { goes_on.send(()) }));
            others.recv_timeout(SOON).ok()
        })?;
        Some(aside)
    }

    /// Whether it may go on.
    pub fn lasts(&self) -> bool {
        ticker::now().saturating_sub(self.since) < TURN
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        ASIDE.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_go_on_while_a_guest_is_aside() {
        let runtime = runtime().build().unwrap();
        let (to, from) = mpsc::channel();
        let kept = runtime.spawn(async move {
            tokio::spawn(async move { to.send(()).unwrap() });
            let aside = Aside::step();
            let gone_on = from.recv_timeout(Duration::from_secs(60)).is_ok();
            (aside.is_some_and(|aside| aside.lasts()), gone_on)
        });
        assert_eq!(runtime.block_on(kept).unwrap(), (true, true));
        assert!(Aside::step().is_none(), "nobody is answered on this thread");
    }
}
