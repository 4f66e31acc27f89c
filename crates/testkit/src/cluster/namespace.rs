//! A Kubernetes namespace in which one test makes its objects.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::objects::{collection, guest_container, with};
use super::{Api, Cluster};
use crate::patience::asking;
use crate::run::{Outcome, output_of};

/// The pause between two questions to the API server.
const PAUSE: Duration = Duration::from_millis(100);

/// How the pods of a test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    Normal,
    Shared,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Normal => "normal",
            Mode::Shared => "shared",
        }
    }

    /// The RuntimeClass of its pods.
    pub fn class(self) -> &'static str {
        match self {
            Mode::Normal => "run-wasm",
            Mode::Shared => "run-wasm-shared",
        }
    }

    /// The RuntimeClass of its pods that may have native containers.
    pub fn native_class(self) -> &'static str {
        match self {
            Mode::Normal => "run-wasm-native",
            Mode::Shared => "run-wasm-native-shared",
        }
    }
}

/// A namespace of a cluster, and the mode of its pods.
#[derive(Debug)]
pub struct Namespace<'a> {
    cluster: &'a Cluster,
    name: String,
    mode: Mode,
}

impl<'a> Namespace<'a> {
    pub(super) fn make(cluster: &'a Cluster, name: &str, mode: Mode) -> Result<Namespace<'a>> {
        cluster.api().post("/api/v1/namespaces", &json!({"metadata": {"name": name}}))?;
        let namespace = Namespace { cluster, name: name.to_owned(), mode };
        // Without it no pod is admitted.
        namespace.until("there is a service account", 60, || namespace.get("serviceaccounts/default"))?;
        Ok(namespace)
    }

    pub fn cluster(&self) -> &'a Cluster {
        self.cluster
    }

    pub fn api(&self) -> Api {
        self.cluster.api()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The path of what `api/v1` has in this namespace, `pods/web`.
    pub fn path(&self, what: &str) -> String {
        format!("/api/v1/namespaces/{}/{what}", self.name)
    }

    /// The path of what a group of APIs has in this namespace: `apps/v1`, `deployments/web`.
    pub fn path_of(&self, group: &str, what: &str) -> String {
        format!("/apis/{group}/namespaces/{}/{what}", self.name)
    }

    /// An object of `api/v1`, `pods/web`; `None` where there is none.
    pub fn get(&self, what: &str) -> Result<Option<Value>> {
        self.api().get(&self.path(what))
    }

    /// The objects of a list.
    pub fn list(&self, path: &str) -> Result<Vec<Value>> {
        let list = self.api().get(path)?.with_context(|| format!("there is no list {path}"))?;
        Ok(list.pointer("/items").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Makes an object.
    pub fn create(&self, object: &Value) -> Result<Value> {
        self.api().post(&collection(object, &self.name)?, object)
    }

    /// Makes a pod of the test's mode that is not started again. `spec` may say otherwise of all of it.
    pub fn pod(&self, name: &str, spec: Value) -> Result<Value> {
        self.annotated_pod(name, json!({}), spec)
    }

    /// The same with annotations.
    pub fn annotated_pod(&self, name: &str, annotations: Value, spec: Value) -> Result<Value> {
        self.create(&json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "annotations": annotations, "labels": {"app": name}},
            "spec": self.pod_spec(spec),
        }))
    }

    /// The spec of a pod of the test's mode, whose grace period is short.
    pub fn pod_spec(&self, spec: Value) -> Value {
        let ours = json!({
            "runtimeClassName": self.mode.class(),
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
        });
        with(ours, spec)
    }

    /// Makes a server of HTTP at port 8080 and a Service of the same name at port 80; waits until it is ready.
    pub fn server(&self, name: &str) -> Result<()> {
        let container = with(
            guest_container("server", "serve", &[]),
            json!({
                "ports": [{"containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/hello", "port": 8080}, "periodSeconds": 1},
            }),
        );
        self.pod(name, json!({"containers": [container]}))?;
        self.service(name, 8080)?;
        self.ready(name).map(drop)
    }

    /// Makes a Service for the pods with the label `app` of its name, from port 80 to theirs.
    pub fn service(&self, name: &str, port: u16) -> Result<()> {
        self.create(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": port}]},
        }))
        .map(drop)
    }

    /// The address of a Service in the cluster.
    pub fn address(&self, service: &str) -> Result<String> {
        let service = self.get(&format!("services/{service}"))?.context("there is no such Service")?;
        let address = service.pointer("/spec/clusterIP").and_then(Value::as_str);
        Ok(address.context("it has no address")?.to_owned())
    }

    /// A folder for this namespace alone: as the test sees it, and as the node does.
    pub fn folder(&self) -> Result<(PathBuf, String)> {
        let relative = format!("volumes/{}", self.name);
        let outside = self.cluster.folder().join(&relative);
        fs::create_dir_all(&outside)?;
        Ok((outside, self.cluster.inside(&relative)))
    }

    /// `kubectl` in this namespace.
    fn kubectl_command(&self, words: &[&str]) -> Command {
        let mut all = vec!["kubectl", "--namespace", &self.name];
        all.extend(words);
        self.cluster.command(&all)
    }

    /// Runs `kubectl` in this namespace.
    pub fn kubectl(&self, words: &[&str]) -> Result<Outcome> {
        output_of(self.kubectl_command(words), None)
    }

    /// The body of what a server says to the node's GET, or how it did not.
    pub fn ask(&self, url: &str) -> Result<Outcome> {
        self.cluster.run(&["curl", "--silent", "--show-error", "--fail", "--max-time", "5", url])
    }

    /// Asks until there is an answer; fails after `seconds` with `what` was waited for.
    pub fn until<T>(&self, what: &str, seconds: u64, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        asking(PAUSE, what, seconds, ask)
    }

    /// Waits until something holds.
    pub fn eventually(
        &self,
        what: &str,
        seconds: u64,
        mut holds: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        self.until(what, seconds, || Ok(holds()?.then_some(())))
    }

    /// What `kubectl` says of all that is here.
    pub fn described(&self) -> String {
        let said = [self.kubectl(&["describe", "pods"]), self.kubectl(&["get", "events"])];
        said.into_iter().flatten().map(|outcome| outcome.stdout).collect::<Vec<_>>().join("\n")
    }

    /// Deletes it, and waits until no pod is left of it: none stays Terminating.
    pub fn remove(&self) -> Result<()> {
        self.api().delete(&format!("/api/v1/namespaces/{}", self.name))?;
        let gone = self.eventually("all pods are gone", 60, || Ok(self.list(&self.path("pods"))?.is_empty()));
        let left: Vec<_> = self
            .list(&self.path("pods"))?
            .into_iter()
            .filter_map(|pod| pod.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned))
            .collect();
        ensure!(left.is_empty(), "these pods stay: {left:?}");
        gone
    }
}
