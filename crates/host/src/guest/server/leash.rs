//! What ends an instance, from outside of the loop in which its guest runs: a guest that computes without end, or waits
//! within a call of the host, does not let that loop turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use wasmtime_wasi_http::handler::WorkerStatus;

/// How long an instance is kept that answers nothing.
const IDLE: Duration = Duration::from_secs(1);

/// How long an instance may take to hear that nobody waits for an answer of it any more.
const HEARING: Duration = Duration::from_millis(500);

/// Of one instance.
#[derive(Debug, Default)]
pub(super) struct Leash(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Requests whose answers flow, or are waited for.
    open: usize,
    /// When the last of them was over.
    closed: Option<Instant>,
    /// When it was called off, unless the instance has heard of it.
    called_off: Option<Instant>,
    /// A request of it was called off: nothing that comes after is of use to anybody.
    forsaken: bool,
    draining: bool,
    cut: bool,
    /// It was made to go.
    expired: bool,
    /// The instance is gone, and was not at its end.
    failed: bool,
    waker: Option<Waker>,
}

impl Leash {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state();
            change(&mut state);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The instance goes as soon as it has nothing to answer.
    pub fn drain(&self) {
        self.change(|state| state.draining = true);
    }

    /// It goes now.
    pub fn cut(&self) {
        self.change(|state| state.cut = true);
    }

    /// The instance ends before its guest has: what it had begun to answer has no end. To be said while its store is there,
    /// with which the bodies would seem to end in order.
    pub fn fail(&self) {
        self.state().failed = true;
    }

    /// Its time is over: it goes.
    pub fn expire(&self) {
        self.state().expired = true;
    }

    /// Whether it went because it had to, and not by a failure of its own. That nobody waits for its answer any more says
    /// nothing about that: who waited may hear of the failure before it is reported.
    pub fn has_expired(&self) -> bool {
        self.state().expired
    }

    /// The moment at which the instance has to go, as things stand; `None`: it may stay. `after` is how long it may go on
    /// when all was answered. Wakes `waker` when things have changed.
    pub fn end(
        &self,
        status: WorkerStatus,
        since: Instant,
        after: Duration,
        waker: &Waker,
    ) -> Option<Instant> {
        let mut state = self.state();
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        if state.cut {
            return Some(since);
        }
        let after_the_last = || state.closed.map_or(since, |closed| closed.max(since)).checked_add(after);
        match status {
            WorkerStatus::Idle if state.draining => Some(since),
            WorkerStatus::Idle => since.checked_add(IDLE),
            WorkerStatus::PostReturn if state.open > 0 => None,
            WorkerStatus::PostReturn if state.forsaken => Some(since),
            WorkerStatus::PostReturn => after_the_last(),
            WorkerStatus::Requests if state.called_off.is_some() => {
                state.called_off.and_then(|at| at.checked_add(HEARING))
            }
            WorkerStatus::Requests if state.open == 0 => after_the_last(),
            WorkerStatus::Requests => None,
        }
    }
}

/// One request, as both sides hold it: who waits for its answer, and the instance that gives it.
#[derive(Debug, Default)]
pub(super) struct Ticket {
    state: Mutex<Held>,
    called_off: Notify,
}

#[derive(Debug, Default)]
struct Held {
    leash: Option<Arc<Leash>>,
    over: bool,
    called_off: bool,
}

impl Ticket {
    fn state(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instance has taken it.
    pub fn take(&self, leash: Arc<Leash>) {
        let mut state = self.state();
        if !state.over {
            leash.change(|leash| leash.open += 1);
        }
        state.leash = Some(leash);
    }

    /// Whether its instance has ended in the middle of it.
    pub fn has_failed(&self) -> bool {
        self.state().leash.as_ref().is_some_and(|leash| leash.state().failed)
    }

    /// The answer was given, to its end.
    pub fn close(&self) {
        self.end(false);
    }

    /// Nobody waits for the answer any more.
    pub fn call_off(&self) {
        self.end(true);
        self.called_off.notify_waiters();
    }

    fn end(&self, called_off: bool) {
        let mut state = self.state();
        if state.over {
            return;
        }
        (state.over, state.called_off) = (true, called_off);
        if let Some(leash) = &state.leash {
            leash.change(|leash| {
                let now = Instant::now();
                leash.open = leash.open.saturating_sub(1);
                leash.closed = Some(now);
                if called_off {
                    leash.called_off.get_or_insert(now);
                    leash.forsaken = true;
                }
            });
        }
    }

    /// Returns when it was called off, which the instance has heard by then.
    pub async fn hear(&self) {
        loop {
            let notified = self.called_off.notified();
            if self.is_heard() {
                return;
            }
            notified.await;
        }
    }

    /// Whether it was called off, as its instance finds out.
    fn is_heard(&self) -> bool {
        let state = self.state();
        if let (true, Some(leash)) = (state.called_off, &state.leash) {
            leash.change(|leash| {
                leash.called_off = None;
                leash.forsaken = true;
            });
        }
        state.called_off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(60);

    fn end(leash: &Leash, status: WorkerStatus, since: Instant) -> Option<Instant> {
        leash.end(status, since, AFTER, Waker::noop())
    }

    #[test]
    fn an_instance_stays_while_it_answers_and_a_moment_beyond() {
        let (leash, since) = (Arc::new(Leash::default()), Instant::now());
        let ticket = Ticket::default();
        ticket.take(leash.clone());
        assert_eq!(end(&leash, WorkerStatus::Requests, since), None);
        assert_eq!(end(&leash, WorkerStatus::PostReturn, since), None);
        ticket.close();
        assert!(end(&leash, WorkerStatus::PostReturn, since).is_some_and(|end| end >= since + AFTER));
        assert_eq!(end(&leash, WorkerStatus::Idle, since), Some(since + IDLE));
        leash.drain();
        assert_eq!(end(&leash, WorkerStatus::Idle, since), Some(since));
    }

    #[test]
    fn an_instance_that_does_not_hear_goes_soon() {
        let (leash, since) = (Arc::new(Leash::default()), Instant::now());
        let ticket = Ticket::default();
        ticket.take(leash.clone());
        ticket.call_off();
        let soon = end(&leash, WorkerStatus::Requests, since);
        assert!(soon.is_some_and(|end| end <= Instant::now() + HEARING));
        assert_eq!(end(&leash, WorkerStatus::PostReturn, since), Some(since));
        assert!(!leash.has_expired(), "a failure that comes before that is its own");
        leash.expire();
        assert!(leash.has_expired());
    }

    #[tokio::test]
    async fn an_instance_that_hears_finishes_its_other_requests() {
        let (leash, since) = (Arc::new(Leash::default()), Instant::now());
        let (one, other) = (Ticket::default(), Ticket::default());
        one.take(leash.clone());
        other.take(leash.clone());
        one.call_off();
        one.hear().await;
        assert_eq!(end(&leash, WorkerStatus::Requests, since), None);
        other.close();
        assert_eq!(end(&leash, WorkerStatus::PostReturn, since), Some(since));
    }
}
