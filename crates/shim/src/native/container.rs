//! A native container: its first process, its room on the node, and what can be done to it.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::config;
use super::pods::{Key, Pods};
use super::process::Process;
use super::runtime::{Runtime, fresh};
use crate::cgroup::{self, Cgroup, Usage};
use crate::stdio::Urls;
use crate::unread::Unread;

#[derive(Debug)]
pub struct Native {
    pub(super) runtime: Runtime,
    pub(super) init: Process,
    /// Its pod, if it has one.
    pub(super) pod: Option<Key>,
    pub(super) pods: Pods,
    /// Made by the runtime, for us to look at.
    pub(super) cgroup: Option<Cgroup>,
    /// Its processes end with its first.
    pub(super) private_processes: bool,
    /// The node's bound of its memory, in bytes.
    pub(super) most_memory: Option<u64>,
    pub(super) paused: AtomicBool,
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NativeEnd {
    pub code: u32,
    /// The kernel has killed one of its processes for want of memory.
    pub oom: bool,
}

impl Native {
    pub fn pid(&self) -> u32 {
        self.init.pid()
    }

    /// The first process, whose streams are the container's.
    pub fn init(&self) -> &Process {
        &self.init
    }

    /// Lets the created container run.
    pub async fn start(&self) -> Result<()> {
        self.runtime.tell(&["start"], &[]).await
    }

    /// Sends a signal to the first process, or to all.
    pub async fn kill(&self, signal: i32, all: bool) -> Result<()> {
        match all {
            true => self.runtime.tell(&["kill", "--all"], &[&signal.to_string()]).await?,
            false => self.init.signal(signal)?,
        }
        if signal == libc::SIGKILL && self.is_paused() {
            // A frozen process dies when it thaws; under cgroup v2 at once, and the runtime then finds nothing that is paused.
            if let Err(error) = self.resume().await {
                tracing::info!(
                    error = format!("{error:#}"),
                    "a paused native container is not resumed for its end"
                );
            }
        }
        Ok(())
    }

    /// Starts one more process, which `process` describes (the runtime spec's `process` as JSON). `id` and `namespace` are told to
    /// a logging binary.
    pub async fn exec(&self, id: &str, process: &[u8], urls: &Urls, namespace: &str) -> Result<Process> {
        let file = self.runtime.room.file(fresh("process"));
        fs::write(&file, process).with_context(|| format!("cannot write {}", file.display()))?;
        let words = [OsStr::new("exec"), OsStr::new("--detach"), OsStr::new("--process"), file.as_os_str()];
        let started = Process::start(&self.runtime, &words, urls, id, namespace).await;
        drop(fs::remove_file(&file));
        started
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    pub async fn pause(&self) -> Result<()> {
        self.runtime.tell(&["pause"], &[]).await?;
        self.paused.store(true, Ordering::SeqCst);
        Ok(())
    }

    pub async fn resume(&self) -> Result<()> {
        self.runtime.tell(&["resume"], &[]).await?;
        self.paused.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Gives it other resources: the runtime spec's `linux.resources` as JSON.
    pub async fn update(&self, resources: &[u8]) -> Result<()> {
        let file = self.runtime.room.file(fresh("resources"));
        let resources = config::bounded(resources, self.most_memory)?;
        fs::write(&file, resources).with_context(|| format!("cannot write {}", file.display()))?;
        let words = [OsStr::new("update"), OsStr::new("--resources"), file.as_os_str()];
        let updated = self.runtime.call(&words, &[], [None; 3]).await;
        drop(fs::remove_file(&file));
        updated
    }

    /// Its processes: at least the first, which may have ended.
    pub fn pids(&self) -> Vec<u32> {
        let pids = self.cgroup.as_ref().map(Cgroup::processes).unwrap_or_default();
        if pids.is_empty() { vec![self.pid()] } else { pids }
    }

    pub fn usage(&self) -> Usage {
        self.cgroup.as_ref().map(Cgroup::usage).unwrap_or_default()
    }

    /// The cgroup's directories: the runtime's to make and to remove.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        self.cgroup.as_ref().map(|cgroup| cgroup.dirs().to_owned()).unwrap_or_default()
    }

    /// Waits for the end of the first process, with which all others end.
    pub async fn ended(&self) -> NativeEnd {
        let code = self.init.code().await;
        if let Some(pod) = &self.pod {
            self.pods.leave(pod, &self.runtime.id);
        }
        if !self.private_processes
            && let Err(error) = self.runtime.tell(&["kill", "--all"], &["KILL"]).await
        {
            tracing::info!(error = format!("{error:#}"), "it left no process behind");
        }
        self.init.close().await;
        NativeEnd { code, oom: self.usage().oom_kills > 0 }
    }

    /// What is left of its output after its end.
    pub fn unread(&self) -> &Unread {
        self.init.unread()
    }

    /// Takes away what is left of an ended container, or ends it.
    pub async fn clean(&self) {
        self.init.clean().await;
        if let Err(error) = self.runtime.tell(&["delete", "--force"], &[]).await {
            tracing::warn!(error = format!("{error:#}"), "not all of a native container goes");
        }
        self.runtime.room.remove();
        // systemd takes its own away.
        if !self.runtime.systemd {
            cgroup::remove(&self.cgroups());
        }
    }
}
