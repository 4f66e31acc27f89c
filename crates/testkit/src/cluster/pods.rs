//! What a pod's status says, and waiting for it.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Namespace;

/// How long a pod may take to do what it is made for.
const PATIENCE: u64 = 90;

/// The status of a container of a pod, whichever kind it is.
pub fn container_status<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"].iter().find_map(|kind| {
        let list = pod.pointer(&format!("/status/{kind}"))?.as_array()?;
        list.iter().find(|status| status.get("name").and_then(Value::as_str) == Some(name))
    })
}

/// How a container of a pod has ended: `exitCode`, `reason`, `message`, `signal`.
pub fn terminated<'a>(pod: &'a Value, name: &str) -> Option<&'a Value> {
    container_status(pod, name)?.pointer("/state/terminated")
}

/// The status of a condition of a pod, such as `Ready`.
pub fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a str> {
    let list = pod.pointer("/status/conditions")?.as_array()?;
    list.iter().find(|one| one.get("type").and_then(Value::as_str) == Some(kind))?.get("status")?.as_str()
}

impl Namespace<'_> {
    /// A pod as it is.
    pub fn look(&self, pod: &str) -> Result<Value> {
        self.get(&format!("pods/{pod}"))?.with_context(|| format!("there is no pod {pod}"))
    }

    /// Waits until something holds of a pod.
    pub fn pod_when(&self, pod: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        self.until(&format!("{pod} {what}"), PATIENCE, || {
            Ok(self.get(&format!("pods/{pod}"))?.filter(&holds))
        })
    }

    /// Waits until a pod is ready.
    pub fn ready(&self, pod: &str) -> Result<Value> {
        self.pod_when(pod, "is ready", |pod| condition(pod, "Ready") == Some("True"))
    }

    /// Waits until a pod runs.
    pub fn running(&self, pod: &str) -> Result<Value> {
        self.pod_when(pod, "runs", |pod| phase(pod) == Some("Running"))
    }

    /// Waits until a pod has ended, well or not.
    pub fn ended(&self, pod: &str) -> Result<Value> {
        self.pod_when(pod, "has ended", |pod| matches!(phase(pod), Some("Succeeded" | "Failed")))
    }

    /// Waits until a pod with one container has ended, which has to be well; its log.
    pub fn output(&self, pod: &str) -> Result<String> {
        let ended = self.ended(pod)?;
        let log = self.log(pod, "")?;
        ensure!(
            phase(&ended) == Some("Succeeded"),
            "{pod} has failed: {log}\n{}",
            ended.pointer("/status").unwrap_or(&ended)
        );
        Ok(log)
    }

    /// The log of a pod: all of it, or what a query asks for, `container=proxy`.
    pub fn log(&self, pod: &str, query: &str) -> Result<String> {
        self.api().text(&self.path(&format!("pods/{pod}/log?{query}")))
    }

    /// Waits until a container has said something.
    pub fn says(&self, pod: &str, container: &str, words: &str) -> Result<String> {
        let query = format!("container={container}");
        self.until(&format!("{pod} says {words:?}"), PATIENCE, || {
            // There is no log before the container is made.
            Ok(self.log(pod, &query).ok().filter(|log| log.contains(words)))
        })
    }

    /// Waits until a container of a pod has been started again so often; that pod.
    pub fn restarted(&self, pod: &str, container: &str, times: u64) -> Result<Value> {
        self.pod_when(pod, "is started again", |pod| {
            container_status(pod, container).and_then(|status| status.get("restartCount")?.as_u64())
                >= Some(times)
        })
    }

    /// The address of a running pod.
    pub fn pod_address(&self, pod: &str) -> Result<String> {
        let pod = self.pod_when(pod, "has an address", |pod| pod.pointer("/status/podIP").is_some())?;
        Ok(pod.pointer("/status/podIP").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Deletes a pod; waits until it is gone.
    pub fn delete_pod(&self, pod: &str) -> Result<()> {
        let path = self.path(&format!("pods/{pod}"));
        self.api().delete(&path)?;
        self.eventually(&format!("{pod} is gone"), PATIENCE, || Ok(self.api().get(&path)?.is_none()))
    }
}

fn phase(pod: &Value) -> Option<&str> {
    pod.pointer("/status/phase")?.as_str()
}

/// A field of an answer that has to be there, as text.
pub fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    match value.pointer(pointer).and_then(Value::as_str) {
        Some(text) => Ok(text),
        None => bail!("no {pointer} in {value}"),
    }
}
