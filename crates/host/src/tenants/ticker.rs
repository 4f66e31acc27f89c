//! The clock of preemption: while any guest runs, epochs go on, and each guest hears in its turn that others wait.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::Tenant;
use super::tags::THREADS;

/// Between two epochs of a process whose guests are of many containers.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// Epochs that still come when no guest runs any more: most that stop run again at once.
const LINGER: u32 = 10;

/// The lightest of those that compete has one tick at a time, the heaviest at most so many.
const MOST_TICKS: u64 = 50;

/// How long a guest counts as one that competes, in ticks after it last used all of its turn.
const COMPETES: u64 = 50;

/// A thread is slow that has begun fewer pieces of work than this since the last tick and is still at one.
const SLOW: u64 = 20;

/// For so many ticks.
const STAYS_SLOW: u64 = 20;

/// What each thread does for guests, as it says itself: hundreds of thousands of times a second, and none of them waits for
/// another's cache line.
static WORK: [Work; THREADS] =
    [const { Work { steps: AtomicU64::new(0), slow: AtomicU64::new(0) } }; THREADS];
/// So many of these threads there have been.
static SO_FAR: AtomicUsize = AtomicUsize::new(0);
/// How many are that have no place there.
static OTHERS_AT_WORK: AtomicUsize = AtomicUsize::new(0);
/// The clock stands still, or is about to.
static PARKED: AtomicBool = AtomicBool::new(false);
static TICKER: OnceLock<Thread> = OnceLock::new();

#[repr(align(64))]
struct Work {
    /// Counts its beginnings and ends: it is odd while the thread is at work.
    steps: AtomicU64,
    /// Until which tick the thread is slow.
    slow: AtomicU64,
}

impl Work {
    fn step(&self, order: Ordering) {
        // Nobody else writes it.
        self.steps.store(self.steps.load(Ordering::Relaxed).wrapping_add(1), order);
    }

    fn is_going_on(&self) -> bool {
        self.steps.load(Ordering::SeqCst) % 2 == 1
    }
}

thread_local! {
    static NUMBER: usize = SO_FAR.fetch_add(1, Ordering::SeqCst);
}

/// The how manieth thread of this process this one is, from 0 on, of those that work for guests.
pub(crate) fn this_thread() -> usize {
    NUMBER.with(|number| *number)
}

/// Whether the guests of a thread have computed for long: others wait there for more than a moment.
pub(crate) fn is_slow(thread: usize) -> bool {
    WORK.get(thread).is_some_and(|work| work.slow.load(Ordering::Relaxed) > NOW.load(Ordering::Relaxed))
}

/// What the threads do that there have been.
fn all() -> impl Iterator<Item = &'static Work> {
    WORK.iter().take(SO_FAR.load(Ordering::SeqCst))
}

fn anybody_works() -> bool {
    OTHERS_AT_WORK.load(Ordering::SeqCst) > 0 || all().any(Work::is_going_on)
}
static NOW: AtomicU64 = AtomicU64::new(1);
/// Those who compete. Few: whoever waits for anything does not.
static RIVALS: Mutex<Vec<Arc<Tenant>>> = Mutex::new(Vec::new());
static LIGHTEST: AtomicU64 = AtomicU64::new(1024);

/// Starts the clock of this process' guests: `tick` lets them know, `every` so often, that time goes on.
pub(crate) fn start(every: Duration, tick: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let ticker = thread::Builder::new().name("ticker".into()).spawn(move || {
        let mut idle = 0;
        let mut steps = [0; THREADS];
        loop {
            idle = if anybody_works() { 0 } else { idle + 1 };
            if idle > LINGER {
                // Whoever begins after this look sees that there is somebody to wake.
                PARKED.store(true, Ordering::SeqCst);
                if !anybody_works() {
                    thread::park();
                }
                PARKED.store(false, Ordering::SeqCst);
                idle = 0;
            }
            thread::sleep(every);
            tick();
            let now = NOW.fetch_add(1, Ordering::Relaxed) + 1;
            find_slow(now, &mut steps);
            weigh(now);
        }
    })?;
    // Set once: a process has one clock.
    drop(TICKER.set(ticker.thread().clone()));
    Ok(())
}

/// `steps` are those of the last tick.
fn find_slow(now: u64, steps: &mut [u64; THREADS]) {
    for (work, before) in all().zip(steps) {
        let steps = work.steps.load(Ordering::Relaxed);
        if steps % 2 == 1 && steps.wrapping_sub(*before) < 2 * SLOW {
            work.slow.store(now + STAYS_SLOW, Ordering::Relaxed);
        }
        *before = steps;
    }
}

/// Ticks so far. Time stands still while nobody works.
pub(super) fn now() -> u64 {
    NOW.load(Ordering::Relaxed)
}

/// This thread begins to work for a guest.
pub(crate) fn working() {
    match WORK.get(this_thread()) {
        Some(work) => work.step(Ordering::SeqCst),
        None => drop(OTHERS_AT_WORK.fetch_add(1, Ordering::SeqCst)),
    }
    if PARKED.load(Ordering::SeqCst)
        && let Some(ticker) = TICKER.get()
    {
        ticker.unpark();
    }
}

pub(crate) fn idle() {
    match WORK.get(this_thread()) {
        Some(work) => work.step(Ordering::Release),
        None => drop(OTHERS_AT_WORK.fetch_sub(1, Ordering::SeqCst)),
    }
}

/// A guest has used all of its turn. Returns how many ticks the next one has: as many times those of the lightest rival as
/// it weighs more.
pub(super) fn turn(tenant: &Arc<Tenant>) -> u64 {
    let now = NOW.load(Ordering::Relaxed);
    if tenant.competed.swap(now, Ordering::Relaxed) == 0 {
        RIVALS.lock().unwrap_or_else(PoisonError::into_inner).push(tenant.clone());
    }
    let lightest = LIGHTEST.load(Ordering::Relaxed).max(1);
    (tenant.cpu.weight() / lightest).clamp(1, MOST_TICKS)
}

/// Forgets those who do not compete any more, and finds the lightest of the rest.
fn weigh(now: u64) {
    let mut rivals = RIVALS.lock().unwrap_or_else(PoisonError::into_inner);
    if rivals.is_empty() {
        return;
    }
    rivals.retain(|tenant| {
        let stays = tenant.competed.load(Ordering::Relaxed) + COMPETES > now;
        if !stays {
            tenant.competed.store(0, Ordering::Relaxed);
        }
        stays
    });
    let lightest = rivals.iter().map(|tenant| tenant.cpu.weight()).min();
    LIGHTEST.store(lightest.unwrap_or(1024), Ordering::Relaxed);
}
