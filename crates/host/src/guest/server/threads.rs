//! The threads of a server in a process of its own: all of them work for the one container.

use std::io;
use std::time::Duration;

use grants::Cpu;
use tokio::runtime::{Builder, Runtime};
use wasmtime::Engine;

use crate::memory::heap::{self, Charge};
use crate::tenants::ticker;

/// Between two epochs: so long a request may compute while others of the same container wait.
const TICK: Duration = Duration::from_millis(10);

/// As many threads as the quota lets run at once, and a clock that ticks for `engine` while any of them is at work.
pub(super) fn runtime(cpu: Cpu, engine: Engine) -> io::Result<Runtime> {
    let mut runtime = match count(cpu) {
        1 => Builder::new_current_thread(),
        several => {
            heap::for_many_threads();
            let mut runtime = Builder::new_multi_thread();
            // What they allocate is the container's, as what this thread does.
            let account = Charge::of_this_thread();
            runtime.worker_threads(several).thread_name("guests").on_thread_start(move || {
                // For as long as the thread lives, which is as long as the process.
                std::mem::forget(account.clone().map(Charge::to));
            });
            runtime
        }
    };
    ticker::start(TICK, move || engine.increment_epoch())?;
    runtime.on_before_task_poll(|_| ticker::working()).on_after_task_poll(|_| ticker::idle());
    runtime.enable_all().build()
}

fn count(cpu: Cpu) -> usize {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let allowed =
        cpu.quota.map(|quota| usize::try_from(quota.div_ceil(cpu.period.max(1))).unwrap_or(usize::MAX));
    allowed.map_or(all, |allowed| allowed.clamp(1, all))
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
