//! A Wasm container as the shim holds it: its first guest, what it was granted, its cgroup.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context;
use grants::Grants;
use host::protocol::{Place, Request};
use oci_spec::runtime::LinuxResources;
use protobuf::well_known_types::any::Any;
use rustix::process::{Pid, Signal, kill_process};

use super::{Guest, Home};
use crate::cgroup::{Cgroup, Cpuset, Freezing, Limits, Usage};
use crate::error::{Error, Result};

/// A container that is loaded in its host.
#[derive(Debug)]
pub struct Container {
    pub(super) guest: Guest,
    /// Where it stands in its host.
    pub(super) place: Place,
    pub(super) grants: Mutex<Arc<Grants>>,
    /// The runtime options that it was created with.
    pub(super) options: Option<Any>,
    /// The node's bound of memory, in bytes.
    pub(super) most_memory: Option<u64>,
    pub(super) cgroup: Mutex<Option<Cgroup>>,
    /// The file of the node that becomes the pod's termination message.
    pub(super) termination_message: Option<PathBuf>,
    pub(super) paused: AtomicBool,
    /// The kernel's kills for want of memory that somebody was told of.
    pub(super) oom_kills: AtomicU64,
}

impl Container {
    pub fn pid(&self) -> u32 {
        self.guest.pid()
    }

    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// How many calls of each kind its first guest was denied, at least: its host tells of the 1st, the 10th, the 100th.
    pub fn denied(&self) -> HashMap<String, u64> {
        self.guest.denied()
    }

    pub(super) fn grants(&self) -> Arc<Grants> {
        lock(&self.grants).clone()
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// Ends its first guest, which is its end. What stands still does not hear of it.
    pub fn end_by(&self, signal: i32) {
        self.guest.end_by(signal);
        if self.paused.swap(false, Ordering::SeqCst)
            && let Err(error) = self.hold(false, &[])
        {
            tracing::warn!(error = format!("{error:#}"), "a paused container cannot be resumed for its end");
        }
    }

    /// Holds it, with all of its processes (`pids`), or lets it go on. Returns when it stands still.
    pub async fn pause(&self, paused: bool, pids: &[u32]) -> Result<()> {
        if self.paused.swap(paused, Ordering::SeqCst) == paused {
            let is = if paused { "paused already" } else { "not paused" };
            return Err(Error::FailedPrecondition(format!("the container is {is}")));
        }
        let result = self.hold(paused, pids);
        let frozen = match (&result, paused) {
            (Ok(Some(frozen)), true) => frozen.wait().await,
            _ => Ok(()),
        };
        let Err(error) = result.map(drop).and(frozen) else { return Ok(()) };
        self.paused.store(!paused, Ordering::SeqCst);
        // What stands still halfway would be neither.
        if paused && let Err(error) = self.hold(false, pids) {
            tracing::warn!(
                error = format!("{error:#}"),
                "a container that could not be paused may stand still"
            );
        }
        Err(error.into())
    }

    fn hold(&self, paused: bool, pids: &[u32]) -> anyhow::Result<Option<Freezing>> {
        if let Home::Shared(seat) = &self.guest.home {
            seat.pause(paused)?;
            return Ok(None);
        }
        if let Some(cgroup) = lock(&self.cgroup).as_ref() {
            return cgroup.freeze(paused).map(Some);
        }
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        self.guest.home.folder().context("the container has ended")?;
        for pid in pids.iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
            match kill_process(pid, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error).context("cannot signal a host"),
            }
        }
        Ok(None)
    }

    /// Gives it other resources: what these leave out stays as it is.
    ///
    /// # Errors
    /// A memory limit below what it uses; a cgroup that cannot have them. Nothing is changed then.
    pub async fn update(&self, resources: &LinuxResources) -> Result<()> {
        let before = self.grants();
        let after = before.resized(resources, self.most_memory);
        let (memory, cpu) = (after.memory_limit(), after.cpu());
        if let Some(limit) = memory.filter(|limit| before.memory_limit().is_none_or(|old| *limit < old)) {
            let used = self.in_use().await;
            if used > limit {
                let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
                return Err(Error::FailedPrecondition(format!(
                    "the container uses {:.1} MiB of memory, more than the new limit of {:.1} MiB",
                    mib(used),
                    mib(limit)
                )));
            }
        }
        let cpuset =
            resources.cpu().as_ref().map(Cpuset::of).transpose()?.filter(|cpuset| !cpuset.is_empty());
        match &self.guest.home {
            Home::Own(host) => {
                let mut announcement = None;
                if let Some(cgroup) = lock(&self.cgroup).as_mut() {
                    let mut limits = Limits { memory, cpu, ..cgroup.limits().clone() };
                    if let Some(cpuset) = cpuset {
                        limits.cpuset = cpuset;
                    }
                    cgroup.change(&limits).context("cannot change the container's cgroup")?;
                    announcement = cgroup.announce_change();
                }
                if let Some(announcement) = announcement {
                    announcement.await?;
                }
                host.send(&Request::Resize { id: String::new(), memory, cpu }, &[])?;
            }
            Home::Shared(seat) => {
                if cpuset.is_some() {
                    tracing::warn!(
                        "linux.resources.cpu.cpus is without effect: a shared host runs on all processors of the node"
                    );
                }
                seat.resize(memory, cpu)?;
            }
        }
        *lock(&self.grants) = Arc::new(after);
        Ok(())
    }

    /// Bytes that nobody could take from it.
    async fn in_use(&self) -> u64 {
        let usage = self.usage().await;
        match &self.guest.home {
            Home::Own(_) => usage.anon,
            Home::Shared(_) => usage.memory,
        }
    }

    pub async fn usage(&self) -> Usage {
        match &self.guest.home {
            Home::Own(_) => lock(&self.cgroup).as_ref().map(Cgroup::usage).unwrap_or_default(),
            Home::Shared(seat) => {
                let used = seat.usage().await;
                Usage {
                    cpu: used.cpu,
                    cpu_user: used.cpu,
                    periods: used.periods,
                    throttled_periods: used.throttled_periods,
                    throttled: used.throttled,
                    memory: used.memory,
                    memory_peak: used.memory_peak,
                    memory_limit: self.grants().memory_limit().unwrap_or(u64::MAX),
                    anon: used.memory,
                    active_anon: used.memory,
                    pids: 1,
                    pids_limit: u64::MAX,
                    ..Usage::default()
                }
            }
        }
    }

    /// What the container used when the kernel has killed one of its processes for want of memory and nobody was told yet.
    pub(super) async fn new_oom_kill(&self) -> Option<Usage> {
        let usage = self.usage().await;
        is_one_more(&self.oom_kills, usage.oom_kills).then_some(usage)
    }

    /// Takes away what is left of an ended container: its first guest, then its cgroup.
    pub async fn clean(&self) {
        self.guest.clean().await;
        let cgroup = lock(&self.cgroup).take();
        if let Some(cgroup) = cgroup {
            cgroup.remove().await;
        }
    }
}

/// Whether there were more than were told of; one more is told of from now on. The kernel may kill the processes of a container
/// all at once (`memory.oom.group`), and each of their ends is told by itself.
fn is_one_more(told: &AtomicU64, kills: u64) -> bool {
    let next = |told: u64| (kills > told).then_some(told.saturating_add(1));
    told.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).is_ok()
}

/// Locks; a poisoned lock holds data that is as good as any: nothing is computed under these.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_that_the_kernel_kills_is_told_of_as_one() {
        let told = AtomicU64::new(0);
        assert!(!is_one_more(&told, 0));
        assert!(is_one_more(&told, 2), "the exec");
        assert!(is_one_more(&told, 2), "the container, in the same moment");
        assert!(!is_one_more(&told, 2), "one that ended otherwise");
        assert!(is_one_more(&told, 3));
    }
}
