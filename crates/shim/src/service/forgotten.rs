//! Tasks that containerd has forgotten. It removes a task's bundle last, whatever became of its calls: a task that is still there
//! then, because its shim stood still or could not be reached when it was deleted, is one that nobody will ever ask for again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Service;
use crate::error::Result;
use crate::observe;
use crate::task::Task;

/// How often it is looked for them. Only what a second look finds as well is taken for forgotten.
const LOOK: Duration = Duration::from_secs(3);

/// Ends them, and a shim that was started for nothing else, until the service has gone. `bundle`: for which the shim was started.
pub async fn end_forgotten(service: Weak<Service>, bundle: PathBuf) {
    let mut missed: HashSet<PathBuf> = HashSet::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(service) = service.upgrade() else { return };
        let tasks = service.without_bundles();
        for task in tasks.iter().filter(|task| missed.contains(&task.bundle)) {
            let ended = service.forget(task);
            if let Err(error) = observe::resume(task.subject.clone(), ended).await {
                tracing::warn!(%error, container = task.id, "a task whose bundle is gone stays");
            }
        }
        let own = Some(&bundle).filter(|bundle| is_gone(bundle));
        if own.is_some_and(|bundle| missed.contains(bundle)) {
            service.finish_when_empty();
        }
        missed = tasks.iter().map(|task| &task.bundle).chain(own).cloned().collect();
    }
}

fn is_gone(bundle: &Path) -> bool {
    !bundle.exists()
}

impl Service {
    fn without_bundles(&self) -> Vec<Arc<Task>> {
        self.tasks().values().flatten().filter(|task| is_gone(&task.bundle)).cloned().collect()
    }

    async fn forget(&self, task: &Task) -> Result<()> {
        tracing::warn!("its bundle is gone: ends, nobody asks for it any more");
        self.take_away(task).await.map(drop)
    }
}
