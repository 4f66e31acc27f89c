//! Tasks: what containerd creates, starts, kills and deletes. A sandbox that only stands for its pod, or a container.

pub mod bundle;
mod container;
mod create;
mod ending;
mod exec;
mod guest;
mod heard;
mod home;
mod look;
mod program;
mod progress;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use containerd_shim_protos::api::{StateResponse, Status};
use tokio::sync::watch;

use crate::cgroup::Usage;
use crate::error::{Error, Result};
use crate::events::timestamp;
use crate::native::Native;
use crate::observe::{self, Subject};
use crate::stdio::Urls;
use container::lock;
use progress::Progress;

pub use container::Container;
pub use create::{Context, Order, cgroups_path, create};
pub use ending::{end, end_soon, signal_ends};
pub use exec::{Exec, start as start_exec};
pub use guest::{Guest, Server};
pub use home::{Death, Home};
pub use look::Looks;
pub use program::Program;
pub use progress::{End, Phase};

/// What a task is made of.
#[derive(Debug)]
pub enum Work {
    /// A pod's pause container: no process runs for it, the pod's network namespace is held by CNI.
    Sandbox,
    Container(Box<Container>),
    Native(Box<Native>),
}

/// One task.
#[derive(Debug)]
pub struct Task {
    /// containerd's.
    pub namespace: String,
    pub id: String,
    pub bundle: PathBuf,
    pub urls: Urls,
    pub work: Work,
    pub created: SystemTime,
    /// Whom lines of the log are about that are written for it.
    pub subject: Option<Arc<Subject>>,
    progress: Progress,
    /// Processes besides the first, by their ids.
    execs: Mutex<HashMap<String, Arc<Exec>>>,
    /// It has ended, or is about to: nothing more is started in it.
    closing: watch::Sender<bool>,
}

impl Task {
    fn new(order: Order, work: Work) -> Task {
        let Order { namespace, id, bundle, urls, .. } = order;
        Task {
            namespace,
            id,
            bundle,
            urls,
            work,
            created: SystemTime::now(),
            subject: observe::current(),
            progress: Progress::new(),
            execs: Mutex::default(),
            closing: watch::Sender::new(false),
        }
    }

    pub fn phase(&self) -> Phase {
        self.progress.phase()
    }

    /// The pid that containerd is told: the host's, or for a sandbox the shim's own. Never 0, which containerd would
    /// take for a leaked shim.
    pub fn pid(&self) -> u32 {
        match &self.work {
            Work::Sandbox => std::process::id(),
            Work::Container(container) => container.pid(),
            Work::Native(native) => native.pid(),
        }
    }

    /// Its first process' pid, and of those that were executed in it the running ones', with their ids. The first is there
    /// also when it has ended: a containerd that comes back takes a task without any process for a leaked one, and with it
    /// goes how it ended.
    pub fn pids(&self) -> Vec<(u32, Option<String>)> {
        let execs = lock(&self.execs);
        let running = execs.values().filter(|exec| exec.phase() == Phase::Running && exec.has_process());
        let execs: Vec<_> = running.map(|exec| (exec.pid(), Some(exec.id.clone()))).collect();
        let is_other = |pid: &u32| execs.iter().all(|(exec, _)| exec != pid);
        let others = match &self.work {
            // In shared mode an exec has its container's pid.
            Work::Sandbox | Work::Container(_) => vec![self.pid()],
            // What its processes have started is the container's as well.
            Work::Native(native) => native.pids().into_iter().filter(is_other).collect(),
        };
        others.into_iter().map(|pid| (pid, None)).chain(execs.iter().cloned()).collect()
    }

    /// Starts the task. The start is announced before the guest can end.
    pub async fn start(&self, announce: impl FnOnce()) -> Result<()> {
        let before =
            || Error::FailedPrecondition(format!("the task {} was started before, or has ended", self.id));
        if self.phase() != Phase::Created {
            return Err(before());
        }
        if let Work::Container(container) = &self.work
            && let Err(error) = container.guest().listen()
        {
            // What could not be started has ended, or nobody could delete it.
            container.end_by(libc::SIGKILL);
            self.ended().await;
            return Err(error.into());
        }
        if !self.progress.begin() {
            return Err(before());
        }
        announce();
        match &self.work {
            Work::Sandbox => Ok(()),
            Work::Container(container) => Ok(container.guest().run(&self.id)?),
            Work::Native(native) => Ok(native.start().await?),
        }
    }

    /// Waits for the end.
    pub async fn ended(&self) -> End {
        self.progress.ended().await
    }

    /// Adds a process that waits to be started.
    pub fn add_exec(&self, exec: Exec) -> Result<()> {
        match lock(&self.execs).entry(exec.id.clone()) {
            Entry::Occupied(_) => Err(Error::AlreadyExists(format!(
                "the process {} exists already in the task {}",
                exec.id, self.id
            ))),
            Entry::Vacant(place) => {
                place.insert(Arc::new(exec));
                Ok(())
            }
        }
    }

    pub fn exec(&self, id: &str) -> Result<Arc<Exec>> {
        let found = lock(&self.execs).get(id).cloned();
        found.ok_or_else(|| Error::NotFound(format!("no process {id} in the task {}", self.id)))
    }

    /// Takes away a process that has ended, or was never started.
    pub async fn remove_exec(&self, exec: &Exec) -> Result<()> {
        if exec.phase() == Phase::Running {
            return Err(Error::FailedPrecondition(format!(
                "the process {} is running: kill it first",
                exec.id
            )));
        }
        exec.clean(self).await;
        lock(&self.execs).remove(&exec.id);
        Ok(())
    }

    /// Whether nothing more is to be started in it.
    fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until nothing more is to be started in it.
    async fn closing(&self) {
        // The sender lives as long as `self`.
        drop(self.closing.subscribe().wait_for(|closing| *closing).await);
    }

    /// Ends all processes but the first: without that there is no container for them.
    async fn end_execs(&self) {
        self.closing.send_replace(true);
        let running: Vec<_> =
            lock(&self.execs).values().filter(|exec| exec.phase() == Phase::Running).cloned().collect();
        for exec in running {
            // One that is being started finds out by itself.
            if let Ok(program) = exec.program() {
                program.kill();
            }
            exec.ended().await;
        }
    }

    /// Takes away what is left of an ended task.
    pub async fn clean(&self) {
        let execs: Vec<_> = lock(&self.execs).drain().map(|(_, exec)| exec).collect();
        for exec in execs {
            exec.clean(self).await;
        }
        match &self.work {
            Work::Sandbox => {}
            Work::Container(container) => container.clean().await,
            Work::Native(native) => native.clean().await,
        }
    }

    /// What the task used so far.
    pub async fn usage(&self) -> Usage {
        match &self.work {
            Work::Sandbox => Usage { memory_limit: u64::MAX, pids_limit: u64::MAX, ..Usage::default() },
            Work::Container(container) => container.usage().await,
            Work::Native(native) => native.usage(),
        }
    }

    fn is_paused(&self) -> bool {
        match &self.work {
            Work::Sandbox => false,
            Work::Container(container) => container.is_paused(),
            Work::Native(native) => native.is_paused(),
        }
    }

    /// The answer to `State`; CRI re-attaches to the streams from it.
    pub async fn state(&self) -> StateResponse {
        match &self.work {
            Work::Sandbox => {}
            Work::Container(container) => container.guest().unread().wait_for_readers().await,
            Work::Native(native) => native.unread().wait_for_readers().await,
        }
        let state = self.state_of(&self.urls, self.pid(), self.phase());
        match self.phase() {
            Phase::Running if self.is_paused() => StateResponse { status: Status::PAUSED.into(), ..state },
            _ => state,
        }
    }

    /// What `State` answers of a process with these streams.
    fn state_of(&self, urls: &Urls, pid: u32, phase: Phase) -> StateResponse {
        let mut state = StateResponse {
            id: self.id.clone(),
            bundle: self.bundle.display().to_string(),
            pid,
            stdin: urls.stdin.clone(),
            stdout: urls.stdout.clone(),
            stderr: urls.stderr.clone(),
            terminal: urls.terminal,
            ..StateResponse::default()
        };
        state.status = match phase {
            Phase::Created => Status::CREATED,
            Phase::Running => Status::RUNNING,
            Phase::Ended(end) => {
                state.exit_status = end.code;
                state.exited_at = timestamp(end.at);
                Status::STOPPED
            }
        }
        .into();
        state
    }
}
