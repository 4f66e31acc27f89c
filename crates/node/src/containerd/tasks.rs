//! Which of containerd's tasks are ours.

use anyhow::{Context, Result};
use containerd_client::Client;
use containerd_client::services::v1::{ListContainersRequest, ListNamespacesRequest, ListTasksRequest};
use containerd_client::tonic::Request;
use containerd_client::tonic::transport::Channel;

use crate::paths::SHIM;
use crate::plan::runtimes::RUNTIME_TYPE;

/// A task that has not ended.
#[derive(Debug)]
pub struct Task {
    pub namespace: String,
    pub id: String,
    /// `namespace/name` of its pod, if it has one.
    pub pod: Option<String>,
}

/// `containerd.v1.types.Status`: STOPPED.
const STOPPED: i32 = 3;

pub async fn ours(channel: Channel) -> Result<Vec<Task>> {
    let client = Client::from(channel);
    let mut found = Vec::new();
    let namespaces =
        client.namespaces().list(ListNamespacesRequest::default()).await?.into_inner().namespaces;
    for namespace in namespaces.into_iter().map(|namespace| namespace.name) {
        let request = within(ListContainersRequest::default(), &namespace)?;
        let containers = client.containers().list(request).await?.into_inner().containers;
        let request = within(ListTasksRequest::default(), &namespace)?;
        let tasks = client.tasks().list(request).await?.into_inner().tasks;
        for container in containers {
            let runtime = container.runtime.map(|runtime| runtime.name).unwrap_or_default();
            let is_ours = runtime == RUNTIME_TYPE || runtime.ends_with(SHIM);
            if is_ours && tasks.iter().any(|task| task.id == container.id && task.status != STOPPED) {
                let label = |name: &str| container.labels.get(&format!("io.kubernetes.pod.{name}")).cloned();
                let pod = label("namespace")
                    .zip(label("name"))
                    .map(|(namespace, name)| format!("{namespace}/{name}"));
                found.push(Task { namespace: namespace.clone(), id: container.id, pod });
            }
        }
    }
    Ok(found)
}

/// A request about one of containerd's namespaces.
fn within<T>(message: T, namespace: &str) -> Result<Request<T>> {
    let mut request = Request::new(message);
    let name = namespace
        .parse()
        .with_context(|| format!("containerd has a namespace `{}`", namespace.escape_debug()))?;
    request.metadata_mut().insert("containerd-namespace", name);
    Ok(request)
}
