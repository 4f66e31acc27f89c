//! A Wasm container as the shim holds it: its host, its cgroup, its streams.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::Result;

use crate::cgroup::{Cgroup, Usage};
use crate::denied::Denied;
use crate::stdio::{Stdio, Unread};
use crate::task::Home;

/// A container that is loaded in its host.
#[derive(Debug)]
pub struct Container {
    pub(super) home: Home,
    /// Bytes, for what has no cgroup of its own.
    pub(super) memory_limit: Option<u64>,
    pub(super) cgroup: Mutex<Option<Cgroup>>,
    pub(super) stdio: Mutex<Option<Stdio>>,
    /// What the ended guest wrote and nobody has read yet.
    pub(super) unread: Mutex<Option<Unread>>,
    /// The file of the node that becomes the pod's termination message.
    pub(super) termination_message: Option<PathBuf>,
    /// What it was denied, as its host has told so far.
    pub(super) denied: Mutex<Denied>,
    /// The signal that containerd sent to end it; 0 for none.
    pub(super) ended_by: AtomicI32,
}

impl Container {
    pub fn pid(&self) -> u32 {
        self.home.pid().unsigned_abs()
    }

    /// How many calls of each kind it was denied, at least: its host tells of the 1st, the 10th, the 100th.
    pub fn denied(&self) -> HashMap<String, u64> {
        lock(&self.denied).counts()
    }

    pub fn run(&self, id: &str) -> Result<()> {
        self.home.run(id)
    }

    /// Ends the guest as a signal would end a process. The guest has no handler to run: the first signal counts.
    pub fn end_by(&self, signal: i32) {
        if self.ended_by.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            || signal == libc::SIGKILL
        {
            self.home.kill();
        }
    }

    pub async fn usage(&self) -> Usage {
        match &self.home {
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
                    memory_limit: self.memory_limit.unwrap_or(u64::MAX),
                    anon: used.memory,
                    active_anon: used.memory,
                    pids: 1,
                    pids_limit: u64::MAX,
                    ..Usage::default()
                }
            }
        }
    }

    /// Tells the terminal its size, in characters. One that is gone with its guest has none: a guest may well end before
    /// containerd has told.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        match lock(&self.stdio).as_ref() {
            Some(stdio) => stdio.resize(width, height),
            None => Ok(()),
        }
    }

    /// Tells the guest that nothing more comes from stdin.
    pub fn close_stdin(&self) -> Result<()> {
        lock(&self.stdio).as_ref().map_or(Ok(()), Stdio::close_stdin)
    }

    /// Takes away what is left of an ended container: its streams, the process, then its cgroup.
    pub async fn clean(&self) {
        let unread = lock(&self.unread).take();
        if let Some(unread) = unread {
            unread.forget().await;
        }
        self.home.end().await;
        let cgroup = lock(&self.cgroup).take();
        if let Some(cgroup) = cgroup {
            cgroup.remove().await;
        }
    }
}

/// Locks; a poisoned lock holds data that is as good as any: nothing is computed under these.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
