//! What a shim counts at the moment of a scrape.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::Service;
use crate::observe::metrics::{self, Census, State};
use crate::observe::servers::{Labels, Server};
use crate::task::{Phase, Task, Work};

/// Servers that are asked at a time what they have done.
const ASKED_AT_ONCE: usize = 32;

impl Service {
    /// What there is to count.
    pub async fn census(&self) -> Census {
        let mut census = Census::default();
        let tasks: Vec<Arc<Task>> = self.tasks().values().flatten().cloned().collect();
        for task in &tasks {
            let (mode, host) = match &task.work {
                Work::Sandbox => continue,
                Work::Container(container) => (metrics::word(self.mode()), Some(container)),
                Work::Native(_) => (metrics::NATIVE, None),
            };
            let state = match task.phase() {
                Phase::Created => "created",
                Phase::Running if host.is_some_and(|container| container.is_paused()) => "paused",
                Phase::Running => "running",
                Phase::Ended(_) => "stopped",
            };
            census.containers.push(State { mode, state });
            if let (Some(container), false) = (host, state == "stopped") {
                census.hosts.push(container.pid().cast_signed());
            }
        }
        census.hosts.sort_unstable();
        census.hosts.dedup();
        census.servers = servers(tasks).await;
        census
    }
}

/// What those of the tasks have done that serve; some are asked at a time.
async fn servers(tasks: Vec<Arc<Task>>) -> Vec<Server> {
    let mut servers = Vec::new();
    for some in tasks.chunks(ASKED_AT_ONCE) {
        let mut asked = JoinSet::new();
        for task in some.iter().cloned() {
            asked.spawn(async move {
                let Work::Container(container) = &task.work else { return None };
                let served = container.guest().served().await?;
                let pod = task.subject.as_ref().and_then(|subject| subject.pod()).unwrap_or_default();
                let labels = Labels { container: task.id.clone(), pod: pod.to_owned() };
                Some(Server { labels, served })
            });
        }
        servers.extend(asked.join_all().await.into_iter().flatten());
    }
    servers.sort_by(|one, other| one.labels.container.cmp(&other.labels.container));
    servers
}
