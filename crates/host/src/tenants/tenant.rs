//! One of many containers: from its launch to its exit, as a task on threads that it shares.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use grants::Cpu;
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use super::cpu::Meter;
use super::pace::Pace;
use super::pause::Pause;
use super::ticker;
use crate::guest::{self, Launch, Library, Outcome, PrepareError};
use crate::memory::{Account, Exhausted, Then};
use crate::protocol::Usage;
use crate::serve::Voice;

/// How long what a guest has written may take to reach its reader when the guest was ended.
const GRACE: Duration = Duration::from_secs(2);

/// One container, or one more process in it.
pub(crate) struct Tenant {
    pub(super) tag: u32,
    pub(super) account: Arc<Account>,
    /// The container's, as is the next.
    pub(super) cpu: Arc<Meter>,
    pub(super) pause: Arc<Pause>,
    pub(super) pace: Pace,
    /// When it last used all of its turn, in ticks; 0 when it does not compete with others.
    pub(super) competed: AtomicU64,
    /// What it wanted too much of.
    exhausted: Arc<OnceLock<Exhausted>>,
    cut: Cut,
}

/// How a container is ended that does not end itself.
#[derive(Default)]
struct Cut {
    outcome: OnceLock<Outcome>,
    heard: Notify,
}

impl Cut {
    /// The first who says how it ends is heard.
    fn end(&self, outcome: Outcome) {
        // A second end changes nothing.
        drop(self.outcome.set(outcome));
        self.heard.notify_waiters();
    }

    async fn ended(&self) -> Outcome {
        loop {
            let heard = self.heard.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome.clone();
            }
            heard.await;
        }
    }
}

impl Tenant {
    pub fn new(tag: u32, memory: Option<u64>, cpu: Cpu) -> Arc<Tenant> {
        let exhausted = Arc::new(OnceLock::new());
        let account = Account::new(memory, noting(&exhausted));
        Tenant::with(tag, account, Arc::new(Meter::new(cpu)), Arc::default(), exhausted)
    }

    /// One more process of `container`, whose limits it shares.
    pub fn beside(container: &Tenant) -> Arc<Tenant> {
        let exhausted = Arc::new(OnceLock::new());
        let account = Account::beside(container.account.clone(), noting(&exhausted));
        Tenant::with(container.tag, account, container.cpu.clone(), container.pause.clone(), exhausted)
    }

    fn with(
        tag: u32,
        account: Arc<Account>,
        cpu: Arc<Meter>,
        pause: Arc<Pause>,
        exhausted: Arc<OnceLock<Exhausted>>,
    ) -> Arc<Tenant> {
        let (pace, competed, cut) = (Pace::default(), AtomicU64::new(0), Cut::default());
        Arc::new(Tenant { tag, account, cpu, pause, pace, competed, exhausted, cut })
    }

    /// Other limits from here on.
    pub fn resize(&self, memory: Option<u64>, cpu: Cpu) {
        self.account.resize(memory);
        self.cpu.resize(cpu);
    }

    /// What keeps it from going on.
    pub(super) fn held(&self) -> Option<Hold> {
        if self.pause.is_on() {
            let pause = self.pause.clone();
            return Some(Box::pin(async move { pause.over().await }));
        }
        self.cpu.wait(0).map(|wait| Box::pin(sleep(wait)) as Hold)
    }

    /// Ends it if it wanted too much. To be asked after each poll.
    pub fn end_if_exhausted(&self) {
        if let Some(exhausted) = self.exhausted.get()
            && !self.is_ended()
        {
            self.cut.end(Outcome::exhausted(exhausted));
        }
    }

    /// Ends it as soon as its thread can leave it.
    pub fn kill(&self) {
        self.cut.end(Outcome::killed());
    }

    /// Whether it has kept threads for long at a time of late.
    pub fn is_slow(&self) -> bool {
        self.pace.is_slow(ticker::now())
    }

    pub fn is_ended(&self) -> bool {
        self.cut.outcome.get().is_some()
    }

    pub fn usage(&self) -> Usage {
        let waits = self.cpu.waits();
        Usage {
            cpu: self.cpu.total(),
            memory: self.account.used(),
            memory_peak: self.account.peak(),
            periods: waits.periods,
            throttled_periods: waits.throttled_periods,
            throttled: waits.throttled,
        }
    }

    /// Its whole life, told to the shim by `voice`.
    pub async fn live(
        self: Arc<Tenant>,
        voice: Voice,
        library: Arc<Library>,
        launch: Box<Launch>,
        started: oneshot::Receiver<Option<OwnedFd>>,
    ) {
        let outcome = match guest::prepare(&library, *launch) {
            Err(error) => return voice.refuse(error.to_string(), matches!(error, PrepareError::Stale(_))),
            Ok(_) if self.is_ended() => {
                return voice.refuse(self.cut.ended().await.reason.unwrap_or_default(), false);
            }
            Ok(prepared) => {
                voice.ready(prepared.serves());
                let (last_words, limit) = (prepared.last_words(), prepared.limit());
                let remains = prepared.remains();
                tokio::select! {
                    biased;
                    outcome = self.cut.ended() => Some(outcome),
                    started = started => match started {
                        Ok(listener) => {
                            let outcome = self.run(prepared, listener, limit).await;
                            if let Some(remains) = remains {
                                remains.end().await;
                            }
                            self.account.close();
                            // Whoever was killed writes nothing more.
                            if outcome.reason.is_some() || !self.is_ended() {
                                self.drain(last_words, &outcome).await;
                            }
                            Some(outcome)
                        }
                        // The shim is gone.
                        Err(_) => None,
                    },
                }
            }
        };
        self.account.leave();
        if let Some(outcome) = outcome {
            voice.exited(outcome);
        }
    }

    async fn run(
        &self,
        prepared: guest::Prepared,
        listener: Option<OwnedFd>,
        limit: Option<Duration>,
    ) -> Outcome {
        let timeout = async {
            match limit {
                Some(limit) => {
                    sleep(limit).await;
                    self.pause.over().await;
                    Outcome::timed_out(limit)
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            outcome = self.cut.ended() => outcome,
            outcome = timeout => outcome,
            outcome = Paced::new(self, guest::call(prepared, listener)) => outcome,
        }
    }

    async fn drain(&self, last_words: guest::LastWords, outcome: &Outcome) {
        let say = last_words.say(outcome);
        match self.is_ended() || outcome.reason.is_some() {
            // Nobody waits for ever for a reader that may not come.
            true => drop(tokio::time::timeout(GRACE, say).await),
            false => tokio::select! {
                () = say => {}
                _ = self.cut.ended() => {}
            },
        }
    }
}

/// Notes that an account is exhausted. In the middle of an allocation, whoever made it may hold any lock: nothing else is
/// done.
fn noting(exhausted: &Arc<OnceLock<Exhausted>>) -> impl Fn(&Exhausted) -> Then + Send + Sync + 'static {
    let noted = exhausted.clone();
    move |exhausted| {
        // The account tells once.
        let _noted_before = noted.set(*exhausted);
        Then::GoOn
    }
}

type Hold = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A guest that waits while it is paused, and whenever its CPU quota is used up.
struct Paced<'a, F> {
    tenant: &'a Tenant,
    guest: Pin<Box<F>>,
    hold: Option<Hold>,
}

impl<'a, F: Future> Paced<'a, F> {
    fn new(tenant: &'a Tenant, guest: F) -> Self {
        Paced { tenant, guest: Box::pin(guest), hold: None }
    }
}

impl<F: Future> Future for Paced<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            if let Some(hold) = &mut self.hold {
                ready!(hold.as_mut().poll(context));
                self.hold = None;
                // Whoever has waited for its quota goes on with whatever that is by now.
                if !self.tenant.pause.is_on() {
                    break;
                }
            }
            match self.tenant.held() {
                Some(hold) => self.hold = Some(hold),
                None => break,
            }
        }
        self.guest.as_mut().poll(context)
    }
}
