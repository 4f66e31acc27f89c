//! Who becomes ready when, as the API server tells whoever watches its pods. Times are ours: those of the API are whole seconds.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::deployment::{Deployment, LABEL, kubectl};

/// How long the server keeps a watch: longer than a measurement takes.
const SECONDS: u32 = 6 * 60 * 60;

/// How long may pass without any pod having become ready.
const PATIENCE: Duration = Duration::from_secs(180);

/// A pod that is ready.
#[derive(Debug, PartialEq, Eq)]
struct Ready {
    deployment: String,
    pod: String,
}

/// Watches every pod that has our label, from before the first was made.
pub struct Watch {
    kubectl: Child,
    ready: Receiver<(Ready, Instant)>,
}

impl Watch {
    pub fn open() -> Result<Watch> {
        let path = format!("/api/v1/pods?watch=1&labelSelector={LABEL}&timeoutSeconds={SECONDS}");
        let mut command = Command::new("kubectl");
        let mut kubectl = command
            .args(["get", "--raw", &path])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run kubectl")?;
        let events = kubectl.stdout.take().context("kubectl has no stdout")?;
        let (sender, ready) = channel();
        thread::spawn(move || listen(events, &sender));
        Ok(Watch { kubectl, ready })
    }

    /// When the last pod of a deployment has become ready.
    pub fn all_ready(&self, deployment: &Deployment) -> Result<Instant> {
        let mut pods = BTreeSet::new();
        loop {
            let (ready, at) = match self.ready.recv_timeout(PATIENCE) {
                Ok(seen) => seen,
                Err(RecvTimeoutError::Disconnected) => bail!("the watch of the pods has ended"),
                Err(RecvTimeoutError::Timeout) => {
                    let (name, wanted, there) = (&deployment.name, deployment.pods, pods.len());
                    let events = kubectl(&["get", "events", "--field-selector", "type=Warning"], None)?;
                    bail!("{there} of {wanted} pods of {name} are ready, and no other became it:\n{events}");
                }
            };
            if ready.deployment == deployment.name {
                pods.insert(ready.pod);
            }
            if pods.len() == deployment.pods {
                return Ok(at);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The end of the pid namespace ends whatever this misses.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

/// Passes on which pods are ready, until either end has gone.
fn listen(events: ChildStdout, sender: &Sender<(Ready, Instant)>) {
    for event in BufReader::new(events).lines().map_while(Result::ok) {
        if let Some(ready) = ready(&event)
            && sender.send((ready, Instant::now())).is_err()
        {
            return;
        }
    }
}

/// The pod of an event, one line of JSON, if it is ready.
fn ready(event: &str) -> Option<Ready> {
    let event: Value = serde_json::from_str(event).ok()?;
    let text = |path: &str| Some(event.pointer(path)?.as_str()?.to_owned());
    let conditions = event.pointer("/object/status/conditions")?.as_array()?;
    let is =
        |condition: &Value, key: &str, value: &str| condition.get(key).is_some_and(|found| found == value);
    let is_ready =
        conditions.iter().any(|condition| is(condition, "type", "Ready") && is(condition, "status", "True"));
    let (deployment, pod) =
        (text(&format!("/object/metadata/labels/{LABEL}"))?, text("/object/metadata/name")?);
    is_ready.then_some(Ready { deployment, pod })
}

#[cfg(test)]
mod tests {
    use super::{Ready, ready};

    fn event(status: &str) -> String {
        format!(
            r#"{{"type": "MODIFIED", "object": {{"metadata": {{"name": "d-1", "labels": {{"bench": "d"}}}},
            "status": {{"conditions": [{{"type": "PodScheduled", "status": "True"}}, {{"type": "Ready", "status": "{status}"}}]}}}}}}"#
        )
    }

    #[test]
    fn a_pod_is_ready_when_its_condition_says_so() {
        let expected = Ready { deployment: "d".to_owned(), pod: "d-1".to_owned() };
        assert_eq!(ready(&event("True")), Some(expected));
    }

    #[test]
    fn a_scheduled_pod_is_not_ready() {
        assert_eq!(ready(&event("False")), None);
    }
}
