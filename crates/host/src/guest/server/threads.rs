//! Threads that answer requests: of a server in a process of its own, all of which work for the one container, and of a host of
//! many, for all of its servers.

use std::io;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use grants::Cpu;
use tokio::runtime::{Builder, Handle, Runtime};

use super::awake::Awake;
use super::lanes::Homes;
use super::site::Server;
use crate::memory::heap::{self, Charge};
use crate::tenants::{self, ticker};

/// Between two epochs of a server in a process of its own: so long a request may compute while others of the same thread wait.
const TICK: Duration = Duration::from_millis(10);

/// An event loop of one thread.
pub(super) struct Thread {
    runtime: Handle,
    /// As the clock knows it, if it stays the same one.
    number: Option<usize>,
    /// It stays awake for clients that are about to ask.
    awake: Option<Awake>,
    requests: AtomicU32,
    connections: AtomicU32,
}

impl Thread {
    fn new(runtime: &Runtime, number: Option<usize>, stays_awake: bool) -> Arc<Thread> {
        let thread = Arc::new(Thread {
            runtime: runtime.handle().clone(),
            number,
            awake: stays_awake.then(Awake::default),
            requests: AtomicU32::new(0),
            connections: AtomicU32::new(0),
        });
        let this = thread.clone();
        runtime.spawn(async move {
            if let Some(awake) = &this.awake {
                awake.stay(|| this.requests.load(Ordering::Relaxed) == 0).await;
            }
        });
        thread
    }

    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Whether guests compute there for long at this moment.
    pub fn is_slow(&self) -> bool {
        self.number.is_some_and(ticker::is_slow)
    }

    /// A request has come; `may_wait`: its thread may stay awake for the next one.
    pub fn asked(&self, may_wait: bool) {
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(awake) = &self.awake {
            awake.asked(may_wait && before == 0);
        }
    }

    /// It is over.
    pub fn answered(&self) {
        if let (1, Some(awake)) = (self.requests.fetch_sub(1, Ordering::Relaxed), &self.awake) {
            awake.answered();
        }
    }

    pub fn connections(&self) -> &AtomicU32 {
        &self.connections
    }
}

/// As many as the quota lets run at once.
pub(super) fn count(cpu: Cpu) -> usize {
    let all = thread::available_parallelism().map_or(1, usize::from);
    let allowed =
        cpu.quota.map(|quota| usize::try_from(quota.div_ceil(cpu.period.max(1))).unwrap_or(usize::MAX));
    allowed.map_or(all, |allowed| allowed.clamp(1, all))
}

/// Starts the threads of a server in a process of its own but this one, whose event loop it returns, and a clock that ticks while
/// any of them is at work.
pub(super) fn start(server: &Arc<Server>) -> io::Result<Runtime> {
    let others = server.lanes.most().min(count(server.site.grants.cpu())).saturating_sub(1);
    let stays_awake = others > 0;
    if others > 0 {
        heap::for_many_threads();
    }
    let engine = server.engine.clone();
    ticker::start(TICK, move || engine.increment_epoch())?;
    let runtime = of_one_container()?;
    let (begun, threads) = mpsc::channel();
    for _ in 0..others {
        let (server, begun, runtime) = (server.clone(), begun.clone(), of_one_container()?);
        // What it allocates is the container's, as what this thread does.
        let account = Charge::of_this_thread();
        thread::Builder::new().name("guests".into()).spawn(move || {
            let _charge = account.map(Charge::to);
            // Nobody waits for one that was given up.
            let _given_up = begun.send(Thread::new(&runtime, Some(ticker::this_thread()), stays_awake));
            drop(begun);
            runtime.block_on(async {
                server.life.killed().await;
                server.over().await;
            });
        })?;
    }
    drop(begun);
    let this = Thread::new(&runtime, Some(ticker::this_thread()), stays_awake);
    server.lanes.start(Homes { threads: std::iter::once(this).chain(threads).collect(), pool: None });
    Ok(runtime)
}

fn of_one_container() -> io::Result<Runtime> {
    let mut runtime = Builder::new_current_thread();
    runtime.on_before_task_poll(|_| ticker::working()).on_after_task_poll(|_| ticker::idle());
    runtime.enable_all().build()
}

/// Those of a host of many, for all of its servers: one for each processor, started when the first server has a client. A host
/// that cannot have them answers on the threads on which its commands run.
pub(super) fn of_host() -> &'static [Arc<Thread>] {
    static THREADS: OnceLock<Vec<Arc<Thread>>> = OnceLock::new();
    THREADS.get_or_init(|| {
        heap::uncharged(|| {
            heap::for_many_threads();
            let threads = (0..count(Cpu::default())).map(|_| of_many());
            let told = threads.inspect(|thread| {
                if let Err(error) = thread {
                    eprintln!("host: no thread for requests: {error}");
                }
            });
            told.flatten().collect()
        })
    })
}

fn of_many() -> io::Result<Arc<Thread>> {
    // It has a thread of its own, and lasts as long as this process.
    let runtime = ManuallyDrop::new(tenants::runtime_of_many()?);
    Ok(Thread::new(&runtime, None, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_of_less_than_a_processor_is_one_thread() {
        let quota = |quota| count(Cpu { quota: Some(quota), ..Cpu::default() });
        assert_eq!((quota(1), quota(100_000)), (1, 1));
        assert!(quota(u64::MAX) >= 1 && count(Cpu::default()) >= 1);
    }
}
