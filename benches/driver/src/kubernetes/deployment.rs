//! Pods as people make them: a Deployment, given to `kubectl apply`.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::peer::Peer;

/// What pods carry, with the name of their deployment.
pub const LABEL: &str = "bench";

/// A guest that sleeps.
const PROGRAM: &str = "sleep";

/// Pods of one peer.
#[derive(Debug, Clone)]
pub struct Deployment {
    pub name: String,
    pub peer: Peer,
    pub pods: usize,
}

impl Deployment {
    pub fn apply(&self) -> Result<()> {
        kubectl(&["apply", "--filename", "-"], Some(&self.manifest())).map(drop)
    }

    /// Comes back when no pod is left.
    pub fn delete(&self) -> Result<()> {
        kubectl(&["delete", "deployment", &self.name, "--cascade=foreground"], None).map(drop)
    }

    /// Nothing but what a peer needs: volumes, probes and limits would be the kubelet's work, the same for all. What Kubernetes itself
    /// adds (the service account's token) stays.
    fn manifest(&self) -> Value {
        let labels = json!({ LABEL: self.name });
        let mut pod = json!({
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "guest", "image": self.peer.image(PROGRAM), "imagePullPolicy": "Never"}],
        });
        if let (Some(class), Some(pod)) = (self.peer.runtime_class(), pod.as_object_mut()) {
            pod.insert("runtimeClassName".to_owned(), class.into());
        }
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name},
            "spec": {
                "replicas": self.pods,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        })
    }
}

/// Runs `kubectl` and returns what it prints.
pub fn kubectl(args: &[&str], input: Option<&Value>) -> Result<String> {
    let mut child = Command::new("kubectl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run kubectl")?;
    // Dropped at the end of the statement: kubectl reads to the end.
    let mut stdin = child.stdin.take().context("kubectl has no stdin")?;
    if let Some(input) = input {
        stdin.write_all(input.to_string().as_bytes())?;
    }
    drop(stdin);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::Deployment;
    use crate::peer::Peer;

    fn class(peer: Peer) -> Option<String> {
        let manifest = Deployment { name: "d".to_owned(), peer, pods: 3 }.manifest();
        let class = manifest.pointer("/spec/template/spec/runtimeClassName")?;
        class.as_str().map(str::to_owned)
    }

    #[test]
    fn a_peer_is_chosen_by_its_runtime_class() {
        assert_eq!(class(Peer::Shared).as_deref(), Some("run-wasm-shared"));
    }

    #[test]
    fn runc_is_what_a_pod_without_one_gets() {
        assert_eq!(class(Peer::Runc), None);
    }
}
