//! What the Helm chart calls before it is deleted: the DaemonSet's agents uninstall, node by node, and then the chart may go.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Probe};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, Config};
use serde_json::{Map, Value, json};

use super::cluster::LABEL;
use crate::say;

/// How often the rollout is looked at.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Subcommand)]
pub enum Hook {
    /// Have every node of a DaemonSet uninstalled, and wait for it.
    PreDelete {
        /// The DaemonSet.
        #[arg(long, value_name = "NAME")]
        daemonset: String,
        /// Its namespace.
        #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
        namespace: String,
        /// How long all nodes together may take: 90s, 10m, 1h.
        #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
        timeout: Duration,
    },
}

impl Hook {
    pub async fn run(self) -> Result<()> {
        let Hook::PreDelete { daemonset, namespace, timeout } = self;
        let config = Config::incluster().context("this is no pod of a cluster with a service account")?;
        let client = Client::try_from(config).context("cannot talk to the cluster's API server")?;
        let api: Api<DaemonSet> = Api::namespaced(client.clone(), &namespace);
        let shown = format!("the DaemonSet {namespace}/{daemonset}");
        let Some(found) = api.get_opt(&daemonset).await.with_context(|| format!("cannot read {shown}"))?
        else {
            say!("{shown} is gone already");
            return tell_left(client).await;
        };
        let patch = Patch::Strategic(uninstalling(&found).with_context(|| format!("cannot change {shown}"))?);
        let patched = api.patch(&daemonset, &PatchParams::default(), &patch).await;
        let generation = patched.with_context(|| format!("cannot change {shown}"))?.metadata.generation;
        wait(&api, &daemonset, generation.unwrap_or(0), timeout).await?;
        tell_left(client).await
    }
}

/// The patch by which its agent uninstalls, on all nodes at once: the Lease has them take turns. A pod is then ready when its agent
/// has uninstalled: to the probes of an agent that installs, a node that waits for its turn is whole.
fn uninstalling(found: &DaemonSet) -> Result<Value> {
    let pod = found.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).context("it has no pods")?;
    let is_agent = |args: &Vec<String>| args.iter().any(|arg| arg == "agent");
    let agent = pod.containers.iter().find(|container| container.args.as_ref().is_some_and(is_agent));
    let agent = agent.context("none of its containers has the argument `agent`")?;
    let args = turned(agent.args.as_deref().unwrap_or_default(), "agent", "--uninstall");
    let mut container = Map::new();
    container.insert("name".into(), json!(agent.name));
    container.insert("args".into(), json!(args));
    for (name, probe) in [("startupProbe", &agent.startup_probe), ("readinessProbe", &agent.readiness_probe)]
    {
        if let Some(command) = command(probe.as_ref()) {
            container.insert(name.into(), json!({"exec": {"command": turned(command, "verify", "--gone")}}));
        }
    }
    Ok(json!({"spec": {
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
        "template": {"spec": {"containers": [container]}},
    }}))
}

fn command(probe: Option<&Probe>) -> Option<&[String]> {
    probe?.exec.as_ref()?.command.as_deref()
}

/// The arguments for uninstalling: what to install goes, where to stays, and `command` gets the `flag`.
fn turned(args: &[String], command: &str, flag: &str) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--config" | "--binaries" => drop(args.next()),
            other if other == flag => {}
            other if other == command => kept.extend([command.to_owned(), flag.to_owned()]),
            other if other.starts_with("--config=") || other.starts_with("--binaries=") => {}
            other => kept.push(other.to_owned()),
        }
    }
    kept
}

async fn wait(api: &Api<DaemonSet>, name: &str, generation: i64, timeout: Duration) -> Result<()> {
    let end = Instant::now() + timeout;
    loop {
        let status = api.get(name).await.with_context(|| format!("cannot read the DaemonSet {name}"))?.status;
        let status = status.unwrap_or_default();
        if is_rolled_out(&status, generation) {
            say!("all {} nodes are uninstalled", status.desired_number_scheduled);
            return Ok(());
        }
        if Instant::now() > end {
            bail!(
                "{} of {} nodes are uninstalled after {} s: the log of the pods of {name} says what the others wait for",
                status.number_available.unwrap_or(0),
                status.desired_number_scheduled,
                timeout.as_secs()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Names the nodes that still have the label: nobody has uninstalled there.
async fn tell_left(client: Client) -> Result<()> {
    let labelled = ListParams::default().labels(&format!("{LABEL}=true"));
    let nodes = Api::<Node>::all(client).list_metadata(&labelled).await;
    let nodes = nodes.context("cannot read which nodes still have the label of run-wasm")?;
    let names: Vec<String> = nodes.items.into_iter().filter_map(|node| node.metadata.name).collect();
    if !names.is_empty() {
        say!(
            "warning: {} still have the label {LABEL}: run-wasm stays there, unless another release of the chart looks after them; `run-wasm-node uninstall` on the node takes it away",
            names.join(", ")
        );
    }
    Ok(())
}

/// Whether every node has the new pod, and it is ready: it is when the node is clean.
fn is_rolled_out(status: &DaemonSetStatus, generation: i64) -> bool {
    let desired = status.desired_number_scheduled;
    status.observed_generation.unwrap_or(0) >= generation
        && status.updated_number_scheduled.unwrap_or(0) >= desired
        && status.number_available.unwrap_or(0) >= desired
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: write 90s, 10m or 1h");
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let number: u32 = digits.parse().map_err(|_| wrong())?;
    let unit = match text.strip_prefix(digits).unwrap_or_default() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(unit) * number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_keeps_where_the_node_is_and_forgets_what_to_install() {
        let args =
            ["agent", "--host-root", "/host", "--config", "/config/config.toml", "--binaries=/usr/local/bin"];
        let kept = turned(&args.map(str::to_owned), "agent", "--uninstall");
        assert_eq!(kept, ["agent", "--uninstall", "--host-root", "/host"]);
        assert_eq!(turned(&kept, "agent", "--uninstall"), kept);
    }

    #[test]
    fn a_pod_of_an_uninstalling_agent_is_ready_when_it_has_uninstalled() {
        let probe = json!({"exec": {"command":
            ["run-wasm-node", "verify", "--quiet", "--config", "/config/config.toml", "--host-root", "/host"]}});
        let found = json!({"metadata": {}, "spec": {"selector": {}, "template": {"spec": {"containers": [{
            "name": "installer",
            "args": ["agent", "--config", "/config/config.toml", "--host-root", "/host"],
            "startupProbe": probe,
            "readinessProbe": probe,
        }]}}}});
        let found: DaemonSet = serde_json::from_value(found).unwrap();
        let patch = uninstalling(&found).unwrap();
        let gone = json!({"exec": {"command":
            ["run-wasm-node", "verify", "--gone", "--quiet", "--host-root", "/host"]}});
        assert_eq!(
            patch.pointer("/spec/template/spec/containers/0").unwrap(),
            &json!({
                "name": "installer",
                "args": ["agent", "--uninstall", "--host-root", "/host"],
                "startupProbe": gone,
                "readinessProbe": gone,
            })
        );
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert!(duration("10d").is_err() && duration("").is_err());
    }
}
