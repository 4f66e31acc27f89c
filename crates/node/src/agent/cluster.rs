//! What the agent tells the cluster: the node's label, and events about the node.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Event, EventSource, Node, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Config};
use serde_json::json;

use super::lease::{Lease, Leases};
use crate::say;

/// The label by which RuntimeClasses choose nodes.
pub const LABEL: &str = "node.run.wasm/ready";

/// Events about nodes, which are in no namespace, are in this one.
const EVENTS: &str = "default";

pub struct Cluster {
    client: Client,
    node: String,
    leases: Leases,
}

impl Cluster {
    /// `identity` is who takes the Lease.
    pub fn connect(node: &str, namespace: &str, identity: &str) -> Result<Cluster> {
        let config = Config::incluster()
            .context("this is no pod of a cluster with a service account: use `install`")?;
        let client = Client::try_from(config).context("cannot talk to the cluster's API server")?;
        let leases = Leases::new(Api::namespaced(client.clone(), namespace), identity);
        Ok(Cluster { client, node: node.to_owned(), leases })
    }

    /// Has the label, or has it not. A kubelet that registers its node anew drops it, so it is looked at each time.
    pub async fn label(&self, is_ready: bool) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let context = || format!("cannot label the node {}", self.node);
        let found = nodes.get_metadata(&self.node).await.with_context(context)?;
        let current = found.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL)).map(String::as_str);
        let wanted = is_ready.then_some("true");
        if current != wanted {
            let patch = Patch::Merge(json!({"metadata": {"labels": {LABEL: wanted}}}));
            nodes.patch_metadata(&self.node, &PatchParams::default(), &patch).await.with_context(context)?;
        }
        Ok(())
    }

    /// The right to change a node. `None`: another agent has it.
    pub async fn lease(&mut self) -> Result<Option<Lease>> {
        self.leases.acquire().await
    }

    /// Tells what happened to the node. An event that cannot be told is in the log alone.
    pub async fn event(&self, reason: &str, message: &str) {
        let now = Time(Timestamp::now());
        let kind = if reason == "Failed" { "Warning" } else { "Normal" };
        let event = Event {
            metadata: ObjectMeta { generate_name: Some("run-wasm-node-".into()), ..ObjectMeta::default() },
            involved_object: ObjectReference {
                kind: Some("Node".into()),
                name: Some(self.node.clone()),
                // As the kubelet does: `kubectl describe node` finds events by it.
                uid: Some(self.node.clone()),
                ..ObjectReference::default()
            },
            reason: Some(reason.into()),
            message: Some(message.chars().take(1024).collect()),
            type_: Some(kind.into()),
            source: Some(EventSource {
                component: Some("run-wasm-node".into()),
                host: Some(self.node.clone()),
            }),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            count: Some(1),
            ..Event::default()
        };
        let events: Api<Event> = Api::namespaced(self.client.clone(), EVENTS);
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            say!("warning: cannot write an event: {error}");
        }
    }
}
