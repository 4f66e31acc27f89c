//! Tasks that containerd has forgotten. It removes a task's bundle last, whatever became of its calls: a task that is still there
//! then, because its shim stood still or could not be reached when it was deleted, is one that nobody will ever ask for again.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Key, Service};
use crate::error::Result;
use crate::observe;
use crate::task::{Phase, Task, Work, end};

/// How often it is looked for them. Only what a second look finds as well is taken for forgotten.
const LOOK: Duration = Duration::from_secs(3);

/// What they are ended by.
const KILL: i32 = libc::SIGKILL;

/// Ends them, and a shim that was started for nothing else, until the service has gone. `bundle`: for which the shim was started.
pub async fn end_forgotten(service: Weak<Service>, bundle: PathBuf) {
    let mut suspects: HashSet<Key> = HashSet::new();
    let mut suspected = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(service) = service.upgrade() else { return };
        let gone = service.without_bundles();
        for task in gone.iter().filter(|task| suspects.contains(&key(task))) {
            let ended = service.forget(task);
            if let Err(error) = observe::resume(task.subject.clone(), ended).await {
                tracing::warn!(%error, container = task.id, "a task whose bundle is gone stays");
            }
        }
        suspects = gone.iter().map(|task| key(task)).collect();
        let is_gone = !bundle.exists();
        if suspected && is_gone {
            service.finish_when_empty();
        }
        suspected = is_gone;
    }
}

fn key(task: &Task) -> Key {
    (task.namespace.clone(), task.id.clone())
}

impl Service {
    fn without_bundles(&self) -> Vec<Arc<Task>> {
        self.tasks().values().flatten().filter(|task| !task.bundle.exists()).cloned().collect()
    }

    async fn forget(&self, task: &Arc<Task>) -> Result<()> {
        tracing::warn!("its bundle is gone: ends, nobody asks for it any more");
        if task.phase() == Phase::Running {
            match &task.work {
                Work::Container(container) => container.end_by(KILL),
                Work::Native(native) => native.kill(KILL, true).await?,
                Work::Sandbox => end(task, self.events(), 128 + KILL.unsigned_abs()),
            }
            task.ended().await;
        }
        self.remove(task).await?;
        Ok(())
    }
}
