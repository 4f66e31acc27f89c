//! Tasks: what containerd creates, starts, kills and deletes. A sandbox that only stands for its pod, or a container.

pub mod bundle;
mod container;
mod create;
mod ending;
mod home;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use containerd_shim_protos::api::{StateResponse, Status};
use tokio::sync::watch;

use crate::cgroup::Usage;
use crate::error::{Error, Result};
use crate::events::timestamp;
use crate::observe::{self, Subject};
use crate::stdio::Urls;

pub use container::Container;
pub use create::{Context, Order, create};
pub use ending::{end, signal_ends};
pub use home::{Death, Home};

/// How far a task has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Created,
    Running,
    Ended(End),
}

/// How and when a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// 0 to 255.
    pub code: u32,
    pub at: SystemTime,
}

/// What a task is made of.
#[derive(Debug)]
pub enum Work {
    /// A pod's pause container: no process runs for it, the pod's network namespace is held by CNI.
    Sandbox,
    Container(Box<Container>),
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
    phase: watch::Sender<Phase>,
}

impl Task {
    fn new(order: Order, work: Work) -> Task {
        let Order { namespace, id, bundle, urls, .. } = order;
        let (created, phase) = (SystemTime::now(), watch::Sender::new(Phase::Created));
        Task { namespace, id, bundle, urls, work, created, subject: observe::current(), phase }
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// The pid that containerd is told: the host's, or for a sandbox the shim's own. Never 0, which containerd would
    /// take for a leaked shim.
    pub fn pid(&self) -> u32 {
        match &self.work {
            Work::Sandbox => std::process::id(),
            Work::Container(container) => container.pid(),
        }
    }

    /// Moves on from created; anything else was started before, or has ended.
    fn begin(&self) -> Result<()> {
        let begun = self.phase.send_if_modified(|phase| {
            let created = *phase == Phase::Created;
            if created {
                *phase = Phase::Running;
            }
            created
        });
        match begun {
            true => Ok(()),
            false => Err(Error::FailedPrecondition(format!(
                "the task {} was started before, or has ended",
                self.id
            ))),
        }
    }

    /// Records the end; only the first counts. Returns whether this was it.
    fn finish(&self, end: End) -> bool {
        self.phase.send_if_modified(|phase| {
            let first = !matches!(phase, Phase::Ended(_));
            if first {
                *phase = Phase::Ended(end);
            }
            first
        })
    }

    /// Starts the task. The start is announced before the guest can end.
    pub fn start(&self, announce: impl FnOnce()) -> Result<()> {
        self.begin()?;
        announce();
        match &self.work {
            Work::Sandbox => Ok(()),
            Work::Container(container) => Ok(container.run(&self.id)?),
        }
    }

    /// Waits for the end.
    pub async fn ended(&self) -> End {
        let mut phase = self.phase.subscribe();
        loop {
            if let Phase::Ended(end) = *phase.borrow_and_update() {
                return end;
            }
            // The sender lives as long as `self`.
            if phase.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What the task used so far.
    pub async fn usage(&self) -> Usage {
        match &self.work {
            Work::Sandbox => Usage { memory_limit: u64::MAX, pids_limit: u64::MAX, ..Usage::default() },
            Work::Container(container) => container.usage().await,
        }
    }

    /// The answer to `State`; CRI re-attaches to the streams from it.
    pub fn state(&self) -> StateResponse {
        let mut state = StateResponse {
            id: self.id.clone(),
            bundle: self.bundle.display().to_string(),
            pid: self.pid(),
            stdin: self.urls.stdin.clone(),
            stdout: self.urls.stdout.clone(),
            stderr: self.urls.stderr.clone(),
            terminal: self.urls.terminal,
            ..StateResponse::default()
        };
        state.status = match self.phase() {
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
