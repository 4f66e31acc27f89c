//! The clock of preemption: while any guest runs, epochs go on, and each guest hears in its turn that others wait.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::Tenant;

/// Between two epochs.
pub(super) const TICK: Duration = Duration::from_millis(2);

/// Epochs that still come when no guest runs any more: most that stop run again at once.
const LINGER: u32 = 10;

/// The lightest of those that compete has one tick at a time, the heaviest at most so many.
const MOST_TICKS: u64 = 50;

/// How long a guest counts as one that competes, in ticks after it last used all of its turn.
const COMPETES: u64 = 50;

/// Threads at work for guests.
static WORKING: AtomicUsize = AtomicUsize::new(0);
static TICKER: OnceLock<Thread> = OnceLock::new();
static NOW: AtomicU64 = AtomicU64::new(1);
/// Those who compete. Few: whoever waits for anything does not.
static RIVALS: Mutex<Vec<Arc<Tenant>>> = Mutex::new(Vec::new());
static LIGHTEST: AtomicU64 = AtomicU64::new(1024);

/// Starts the clock of this process' guests: `tick` lets them know that time goes on.
pub(crate) fn start(tick: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let ticker = thread::Builder::new().name("ticker".into()).spawn(move || {
        let mut idle = 0;
        loop {
            idle = if WORKING.load(Ordering::SeqCst) == 0 { idle + 1 } else { 0 };
            if idle > LINGER {
                thread::park();
                idle = 0;
            }
            thread::sleep(TICK);
            tick();
            weigh(NOW.fetch_add(1, Ordering::Relaxed) + 1);
        }
    })?;
    // Set once: a process has one clock.
    drop(TICKER.set(ticker.thread().clone()));
    Ok(())
}

/// A thread begins to work for a guest.
pub(crate) fn working() {
    if WORKING.fetch_add(1, Ordering::SeqCst) == 0
        && let Some(ticker) = TICKER.get()
    {
        ticker.unpark();
    }
}

pub(crate) fn idle() {
    WORKING.fetch_sub(1, Ordering::SeqCst);
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
