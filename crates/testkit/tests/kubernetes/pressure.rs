//! Memory pressure: kubelet evicts the pod that uses more than it asked for, and lets the other be.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::cluster::{Cluster, Mode, guest_container, text, with};

use crate::table::{Table, fresh_name};

const NAME: &str = "memory pressure evicts whoever uses more than its request";

/// What all pods together may use.
const FOR_PODS: u64 = 1000 << 20;

/// Gives the pods a small part of the node, tries it, and gives them the rest back.
pub fn try_all(cluster: &Cluster, table: &mut Table) {
    if !testkit::wanted(NAME) {
        return;
    }
    let file = cluster.folder().join("etc/kubelet.yaml");
    let prepared = fs::read_to_string(&file).context("kubelet's config").and_then(|config| {
        fs::write(&file, squeezed(cluster, &config)?)?;
        restarted(cluster)?;
        Ok(config)
    });
    for mode in [Mode::Normal, Mode::Shared] {
        let start = Instant::now();
        let result = match &prepared {
            Ok(_) => evicted(cluster, mode),
            Err(error) => Err(anyhow::anyhow!("{error:#}")),
        };
        table.cell(NAME, mode, result, start.elapsed());
    }
    if let Ok(config) = prepared {
        let back = fs::write(&file, config).context("kubelet's config").and_then(|()| restarted(cluster));
        table.check("kubelet has its config back", back);
    }
}

fn restarted(cluster: &Cluster) -> Result<()> {
    let started = || {
        cluster.api().text("/api/v1/nodes/node/proxy/metrics").map(|page| {
            page.lines().find(|line| line.starts_with("process_start_time_seconds")).map(str::to_owned)
        })
    };
    let before = started()?;
    cluster.restart("kubelet", "TERM")?;
    testkit::eventually("kubelet is back", 60, || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        Ok(started().is_ok_and(|now| now.is_some() && now != before))
    })
}

/// A config with which pods have little memory, of which a tenth has to stay free.
fn squeezed(cluster: &Cluster, config: &str) -> Result<String> {
    let node = cluster.api().get("/api/v1/nodes/node")?.context("there is no node")?;
    let capacity = text(&node, "/status/capacity/memory")?;
    let kib: u64 = capacity.strip_suffix("Ki").and_then(|kib| kib.parse().ok()).context("no capacity")?;
    let reserved = (kib << 10).checked_sub(FOR_PODS).context("the node is too small")?;
    let squeezed = config.replace("memory.available: \"0%\"", "memory.available: \"100Mi\"");
    ensure!(squeezed != config, "kubelet's config says nothing of memory.available");
    Ok(format!("{squeezed}kubeReserved: {{memory: \"{reserved}\"}}\nevictionPressureTransitionPeriod: 1s\n"))
}

fn evicted(cluster: &Cluster, mode: Mode) -> Result<()> {
    let here = cluster.namespace(&fresh_name(mode), mode)?;
    let hog = |mib: &str, resources: Value| {
        let guest =
            with(guest_container("guest", "memory-hog", &[mib, "3600"]), json!({"resources": resources}));
        json!({"containers": [guest]})
    };
    here.pod("modest", hog("40", json!({"limits": {"memory": "100Mi", "cpu": "100m"}})))?;
    here.says("modest", "guest", "done")?;
    here.pod("greedy", hog("860", json!({"requests": {"memory": "20Mi"}})))?;
    let result = here.ended("greedy").and_then(|greedy| {
        ensure!(text(&greedy, "/status/reason")? == "Evicted", "{greedy}");
        let modest = here.look("modest")?;
        ensure!(text(&modest, "/status/phase")? == "Running", "{modest}");
        Ok(())
    });
    let result = result.map_err(|error| anyhow::anyhow!("{error:#}\n{}", here.described()));
    let removed = here.remove();
    result.and(removed)
}
