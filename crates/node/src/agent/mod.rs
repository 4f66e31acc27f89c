//! What the DaemonSet runs: installs, watches over the installation and tells the cluster by a label. It never leaves a step half
//! done: SIGTERM is heard between two rounds, and whoever is killed within one is followed by somebody who reads the journal.

mod cluster;
mod hook;
mod lease;

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

pub use self::hook::Hook;
use crate::agent::cluster::Cluster;
use crate::node::{Node, Source};
use crate::plan::runtimes;
use crate::say;

/// How often the node is looked at.
const ROUND: Duration = Duration::from_secs(10);
/// How long is waited at most after rounds that failed.
const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// Uninstall, then wait: the node stays clean.
    #[arg(long)]
    uninstall: bool,
    /// Have images compiled when containerd pulls them, for pods of these modes: normal, shared, or both with a comma.
    #[arg(long, value_name = "MODES")]
    prewarm: Option<String>,
    /// The name of this node in the cluster.
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node_name: String,
    /// The pod that this runs in, which is who holds the Lease; without it, the node is.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod_name: Option<String>,
    /// The namespace of the Lease by which one node at a time is changed.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: String,
}

impl Args {
    /// Runs until SIGTERM.
    pub async fn run(self, node: Node) -> Result<()> {
        let mut terminated = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let identity = self.pod_name.as_ref().unwrap_or(&self.node_name);
        let mut cluster = Cluster::connect(&self.node_name, &self.namespace, identity)?;
        // Ends with the agent.
        let mut prewarming = JoinSet::new();
        let mut pause = ROUND;
        loop {
            let round = if self.uninstall {
                gone(&node, &mut cluster).await
            } else {
                there(&node, &mut cluster, &self.source).await
            };
            pause = match round {
                Ok(()) => {
                    // Before the first installation no shim could compile.
                    if !self.uninstall && prewarming.is_empty() {
                        prewarming.extend(self.prewarm.as_ref().map(|modes| prewarm(&node, modes)));
                    }
                    ROUND
                }
                Err(error) => {
                    say!("error: {error:#}");
                    cluster.event("Failed", &format!("{error:#}")).await;
                    (pause * 2).min(LONGEST)
                }
            };
            tokio::select! {
                _ = terminated.recv() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// What compiles the images that this node's containerd pulls.
fn prewarm(node: &Node, modes: &str) -> impl Future<Output = Infallible> + Send + use<> {
    let socket = node.containerd.root.at(&node.containerd.socket);
    // containerd's PATH need not have what is installed.
    let shim = Some(runtimes::shim().into());
    let options = prewarm::Options { socket, modes: modes.to_owned(), shim, ..prewarm::Options::default() };
    prewarm::run(options, |line| say!("{line}"))
}

/// One round of an agent that installs.
async fn there(node: &Node, cluster: &mut Cluster, source: &Source) -> Result<()> {
    let differences = node.differences(None).await?;
    if !differences.is_empty() {
        // No pod shall come to a node that is not ready for it.
        cluster.label(false).await?;
        differences.iter().for_each(|difference| say!("{difference}"));
    }
    if !differences.is_empty() || !node.plan(source).await?.is_empty() {
        let Some(lease) = cluster.lease().await? else { return Ok(()) };
        let told = lease.during(node.install(source)).await?.told("run-wasm is installed");
        say!("{told}");
        cluster.event("Installed", &told).await;
    }
    cluster.label(true).await
}

/// One round of an agent that uninstalls.
async fn gone(node: &Node, cluster: &mut Cluster) -> Result<()> {
    cluster.label(false).await?;
    if node.remains()?.is_empty() {
        // What ran then may have ended, and its programs may go.
        return node.tidy().await;
    }
    let Some(lease) = cluster.lease().await? else { return Ok(()) };
    // Who deletes the chart has decided; what runs goes on.
    lease.during(node.uninstall(true)).await?;
    node.mark_gone()?;
    say!("uninstalled");
    cluster.event("Uninstalled", "run-wasm is uninstalled").await;
    Ok(())
}
