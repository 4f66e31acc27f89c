//! The threads of a server in a process of its own: all of them work for the one container.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use grants::Cpu;
use tokio::runtime::{Builder, Runtime};

use super::site::Server;
use crate::memory::heap::{self, Charge};
use crate::tenants::ticker;

/// Between two epochs: so long a request may compute while others of the same thread wait.
const TICK: Duration = Duration::from_millis(10);

/// As many as the quota lets run at once.
pub(super) fn count(cpu: Cpu) -> u32 {
    let all =
        thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX));
    let allowed = cpu.quota.map(|quota| u32::try_from(quota.div_ceil(cpu.period.max(1))).unwrap_or(u32::MAX));
    allowed.map_or(all, |allowed| allowed.clamp(1, all))
}

/// Starts a thread for each lane but the first, whose event loop it returns to this thread, and a clock that ticks while any of
/// them is at work.
pub(super) fn start(server: &Arc<Server>) -> io::Result<Runtime> {
    let others = server.lanes.others();
    if !others.is_empty() {
        heap::for_many_threads();
    }
    // A quota is there to be answered with.
    let stay_awake = !others.is_empty() && server.site.grants.cpu().quota.is_none();
    let engine = server.engine();
    ticker::start(TICK, move || engine.increment_epoch())?;
    let (ready, all_ready) = mpsc::channel();
    for lane in others {
        let (server, lane, ready, runtime) = (server.clone(), lane.clone(), ready.clone(), runtime()?);
        // What it allocates is the container's, as what this thread does.
        let account = Charge::of_this_thread();
        thread::Builder::new().name("guests".into()).spawn(move || {
            let _charge = account.map(Charge::to);
            lane.is_here(runtime.handle(), stay_awake);
            drop(ready);
            runtime.block_on(async {
                server.life.killed().await;
                server.over().await;
            });
        })?;
    }
    drop(ready);
    // They say nothing, and hang up.
    let _hung_up: Result<(), _> = all_ready.recv();
    let runtime = runtime()?;
    server.lanes.first().is_here(runtime.handle(), stay_awake);
    Ok(runtime)
}

fn runtime() -> io::Result<Runtime> {
    let mut runtime = Builder::new_current_thread();
    runtime.on_before_task_poll(|_| ticker::working()).on_after_task_poll(|_| ticker::idle());
    runtime.enable_all().build()
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
