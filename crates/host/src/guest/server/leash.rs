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
    leaving: bool,
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

    /// Changes what ends the instance soon, or at once.
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

    /// One more request. Its instance finds out when it is polled next: most are, and a poll for this alone costs as much as some
    /// requests do.
    fn open(&self) {
        self.state().open += 1;
    }

    /// One request less, of which nobody need hear at once either.
    fn close(&self) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        state.closed = Some(Instant::now());
    }

    /// The instance goes as soon as it has nothing to answer.
    pub fn leave(&self) {
        self.change(|state| state.leaving = true);
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

    /// The moment at which the instance has to go, or this has to be asked again; `None`: it may stay. `after` is how long it may
    /// go on when all was answered. Wakes `waker` when the end has come nearer.
    pub fn end(&self, status: WorkerStatus, since: Instant, after: Duration, waker: &Waker) -> Option<End> {
        let mut state = self.state();
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        if state.cut {
            return Some(End::At(since));
        }
        let later = |moment: Instant, by| moment.checked_add(by).map(End::At);
        let after_the_last = || later(state.closed.map_or(since, |closed| closed.max(since)), after);
        match status {
            WorkerStatus::Idle if state.leaving => Some(End::At(since)),
            WorkerStatus::Idle => {
                // Whoever did not wait any more is of the past: what comes next has nothing to do with it.
                (state.called_off, state.forsaken) = (None, false);
                later(since, IDLE)
            }
            // That the last was answered is not told.
            WorkerStatus::PostReturn if state.open > 0 => {
                Instant::now().checked_add(after).map(End::NotBefore)
            }
            WorkerStatus::PostReturn if state.forsaken => Some(End::At(since)),
            WorkerStatus::PostReturn => after_the_last(),
            WorkerStatus::Requests if state.called_off.is_some() => {
                state.called_off.and_then(|at| later(at, HEARING))
            }
            WorkerStatus::Requests if state.open == 0 => after_the_last(),
            WorkerStatus::Requests => None,
        }
    }
}

/// What is known of an instance's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    At(Instant),
    /// It is to be looked at again then.
    NotBefore(Instant),
}

impl End {
    pub fn moment(self) -> Instant {
        match self {
            End::At(moment) | End::NotBefore(moment) => moment,
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
    /// The instance has begun to answer, and listens for nothing any more.
    answered: bool,
}

/// The instance's ear for whether a request is called off; it is dropped when the answer has begun.
pub(super) struct Ear(Arc<Ticket>);

impl Ear {
    pub fn of(ticket: Arc<Ticket>) -> Ear {
        Ear(ticket)
    }

    /// Returns when the request was called off, which the instance has heard by then.
    pub async fn hear(self) {
        loop {
            let notified = self.0.called_off.notified();
            if self.0.is_heard() {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.0.state().answered = true;
    }
}

impl Ticket {
    fn state(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An instance has taken it.
    pub fn take(&self, leash: Arc<Leash>) {
        let mut state = self.state();
        if !state.over {
            leash.open();
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
        let Some(leash) = &state.leash else { return };
        leash.close();
        if called_off {
            let answered = state.answered;
            leash.change(|leash| {
                leash.forsaken = true;
                // Nobody would hear it.
                if !answered {
                    leash.called_off.get_or_insert_with(Instant::now);
                }
            });
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
        match leash.end(status, since, AFTER, Waker::noop()) {
            Some(End::At(end)) => Some(end),
            Some(End::NotBefore(_)) | None => None,
        }
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
        leash.leave();
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
    async fn what_is_called_off_when_it_was_answered_ends_no_later_request() {
        let (leash, since) = (Arc::new(Leash::default()), Instant::now());
        let (one, other) = (Arc::new(Ticket::default()), Ticket::default());
        one.take(leash.clone());
        // The instance listens until it has begun to answer.
        assert!(tokio::time::timeout(Duration::from_millis(1), Ear::of(one.clone()).hear()).await.is_err());
        other.take(leash.clone());
        one.call_off();
        assert_eq!(end(&leash, WorkerStatus::Requests, since), None);
        other.close();
        assert_eq!(
            end(&leash, WorkerStatus::PostReturn, since),
            Some(since),
            "nobody reads what the first still writes"
        );
        assert_eq!(end(&leash, WorkerStatus::Idle, since), Some(since + IDLE));
        let third = Ticket::default();
        third.take(leash.clone());
        third.close();
        assert!(end(&leash, WorkerStatus::PostReturn, since).is_some_and(|end| end > since));
    }

    #[tokio::test]
    async fn an_instance_that_hears_finishes_its_other_requests() {
        let (leash, since) = (Arc::new(Leash::default()), Instant::now());
        let (one, other) = (Arc::new(Ticket::default()), Ticket::default());
        let ear = Ear::of(one.clone());
        one.take(leash.clone());
        other.take(leash.clone());
        one.call_off();
        ear.hear().await;
        assert_eq!(end(&leash, WorkerStatus::Requests, since), None);
        other.close();
        assert_eq!(end(&leash, WorkerStatus::PostReturn, since), Some(since));
    }
}
