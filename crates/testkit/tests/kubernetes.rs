//! What Kubernetes offers a pod, with pods of Wasm under a real kubelet, in both modes: docs/kubernetes-features.md as a table of
//! what was just tried.
//!
//! One cluster for all. A feature has a Kubernetes namespace of its own in each mode, and is tried beside the others; what
//! is done to the node as a whole comes after them. Words of the command line choose features by their names.

#![allow(clippy::indexing_slicing, reason = "a field that an answer lacks is null")]

#[path = "kubernetes/config.rs"]
mod config;
#[path = "kubernetes/ends.rs"]
mod ends;
#[path = "kubernetes/faults.rs"]
mod faults;
#[path = "kubernetes/images.rs"]
mod images;
#[path = "kubernetes/logs.rs"]
mod logs;
#[path = "kubernetes/mixed.rs"]
mod mixed;
#[path = "kubernetes/network.rs"]
mod network;
#[path = "kubernetes/pressure.rs"]
mod pressure;
#[path = "kubernetes/probes.rs"]
mod probes;
#[path = "kubernetes/resources.rs"]
mod resources;
#[path = "kubernetes/rollout.rs"]
mod rollout;
#[path = "kubernetes/stop.rs"]
mod stop;
#[path = "kubernetes/table.rs"]
mod table;
#[path = "kubernetes/volumes.rs"]
mod volumes;
#[path = "kubernetes/workloads.rs"]
mod workloads;

use std::process::ExitCode;

use anyhow::Result;
use testkit::cluster::Cluster;

use table::{Feature, Table};

/// The guests that the features need.
const GUESTS: [&str; 14] = [
    "args",
    "env",
    "exit",
    "files",
    "hello",
    "http",
    "memory-hog",
    "serve",
    "sleep",
    "sockets",
    "spin",
    "ticker",
    "trap",
    "stderr",
];

/// The lines of the table, by topic.
const TOPICS: [&[Feature]; 11] = [
    ends::FEATURES,
    logs::FEATURES,
    stop::FEATURES,
    workloads::FEATURES,
    config::FEATURES,
    volumes::FEATURES,
    network::FEATURES,
    probes::FEATURES,
    resources::FEATURES,
    mixed::FEATURES,
    images::FEATURES,
];

fn main() -> Result<ExitCode> {
    let cluster = Cluster::up()?;
    cluster.import(&GUESTS)?;
    let mut table = Table::default();
    table.try_all(&cluster, &TOPICS.concat());
    table.try_all(&cluster, rollout::FEATURES);
    faults::try_all(&cluster, &mut table);
    pressure::try_all(&cluster, &mut table);
    table.namespaces_go(&cluster);
    if table.has_failed() {
        println!("{}", cluster.log_ends());
    }
    table.check("the cluster goes and leaves nothing", cluster.down());
    Ok(table.tell())
}
