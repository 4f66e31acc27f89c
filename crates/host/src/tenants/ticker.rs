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

/// Whether each thread is at work for a guest, as it says itself: hundreds of thousands of times a second, and none of them waits
/// for another's cache line.
static AT_WORK: [AtWork; THREADS] = [const { AtWork(AtomicBool::new(false)) }; THREADS];
/// How many are that have no place there.
static OTHERS_AT_WORK: AtomicUsize = AtomicUsize::new(0);
/// The clock stands still, or is about to.
static PARKED: AtomicBool = AtomicBool::new(false);
static TICKER: OnceLock<Thread> = OnceLock::new();

#[repr(align(64))]
struct AtWork(AtomicBool);

thread_local! {
    static NUMBER: usize = {
        static SO_FAR: AtomicUsize = AtomicUsize::new(0);
        SO_FAR.fetch_add(1, Ordering::Relaxed)
    };
}

/// The how manieth thread of this process this one is, from 0 on, of those that work for guests.
pub(super) fn this_thread() -> usize {
    NUMBER.with(|number| *number)
}

fn place() -> Option<&'static AtomicBool> {
    AT_WORK.get(this_thread()).map(|AtWork(place)| place)
}

fn anybody_works() -> bool {
    OTHERS_AT_WORK.load(Ordering::SeqCst) > 0
        || AT_WORK.iter().any(|AtWork(works)| works.load(Ordering::SeqCst))
}
static NOW: AtomicU64 = AtomicU64::new(1);
/// Those who compete. Few: whoever waits for anything does not.
static RIVALS: Mutex<Vec<Arc<Tenant>>> = Mutex::new(Vec::new());
static LIGHTEST: AtomicU64 = AtomicU64::new(1024);

/// Starts the clock of this process' guests: `tick` lets them know, `every` so often, that time goes on.
pub(crate) fn start(every: Duration, tick: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let ticker = thread::Builder::new().name("ticker".into()).spawn(move || {
        let mut idle = 0;
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
            weigh(NOW.fetch_add(1, Ordering::Relaxed) + 1);
        }
    })?;
    // Set once: a process has one clock.
    drop(TICKER.set(ticker.thread().clone()));
    Ok(())
}

/// This thread begins to work for a guest.
pub(crate) fn working() {
    match place() {
        Some(place) => place.store(true, Ordering::SeqCst),
        None => drop(OTHERS_AT_WORK.fetch_add(1, Ordering::SeqCst)),
    }
    if PARKED.load(Ordering::SeqCst)
        && let Some(ticker) = TICKER.get()
    {
        ticker.unpark();
    }
}

pub(crate) fn idle() {
    match place() {
        Some(place) => place.store(false, Ordering::Release),
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
