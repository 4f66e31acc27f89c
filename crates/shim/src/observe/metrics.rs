//! Metrics of this shim, in the text format of Prometheus. [`super::scrape`] tells them.
//!
//! Nothing is counted where the node's config does not ask for it.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Result;
use grants::Mode;
use host::protocol::{Counts, Exit};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Stage;
use super::servers::{Server, Servers};

/// From a millisecond to half a minute, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0, 30.0];

static METRICS: OnceLock<Metrics> = OnceLock::new();

#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    creates: Family<Created, Counter>,
    exits: Family<Exited, Counter>,
    denied: Family<Kind, Counter>,
    stages: Family<Step, Histogram, fn() -> Histogram>,
    containers: Family<State, Gauge>,
    hosts: Gauge,
    host_memory: Gauge,
    shim_memory: Gauge,
    servers: Servers,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Created {
    mode: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exited {
    class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Step {
    stage: &'static str,
}

/// What tasks are counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct State {
    pub mode: &'static str,
    pub state: &'static str,
}

/// What there is at the moment of a scrape.
#[derive(Debug, Default)]
pub struct Census {
    /// One entry a container.
    pub containers: Vec<State>,
    /// The pids of their hosts, each once.
    pub hosts: Vec<i32>,
    /// What containers have done that serve.
    pub servers: Vec<Server>,
}

impl Metrics {
    fn new() -> Metrics {
        let mut registry = Registry::with_prefix("run_wasm");
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let metrics = Metrics {
            creates: Family::default(),
            exits: Family::default(),
            denied: Family::default(),
            stages: Family::new_with_constructor(histogram),
            containers: Family::default(),
            hosts: Gauge::default(),
            host_memory: Gauge::default(),
            shim_memory: Gauge::default(),
            servers: Servers::default(),
            registry: Registry::default(),
        };
        registry.register("creates", "Containers that were to be created", metrics.creates.clone());
        registry.register("exits", "Containers that ended, by how", metrics.exits.clone());
        registry.register(
            "denied_calls",
            "Calls of guests that their grants do not allow",
            metrics.denied.clone(),
        );
        registry.register_with_unit(
            "stage",
            "What the steps of a container's beginning took",
            Unit::Seconds,
            metrics.stages.clone(),
        );
        registry.register("containers", "Containers that there are", metrics.containers.clone());
        registry.register("hosts", "Processes that run containers", metrics.hosts.clone());
        let memory = "Anonymous memory of those processes";
        registry.register_with_unit("hosts_memory", memory, Unit::Bytes, metrics.host_memory.clone());
        let memory = "Anonymous memory of this shim";
        registry.register_with_unit("shim_memory", memory, Unit::Bytes, metrics.shim_memory.clone());
        registry.register_collector(Box::new(metrics.servers.clone()));
        Metrics { registry, ..metrics }
    }

    pub(super) fn text(&self, census: Census) -> Result<String> {
        self.containers.clear();
        for state in &census.containers {
            self.containers.get_or_create(state).inc();
        }
        self.hosts.set(i64::try_from(census.hosts.len())?);
        self.host_memory.set(census.hosts.iter().map(|pid| anonymous(&pid.to_string())).sum());
        self.shim_memory.set(anonymous("self"));
        self.servers.set(census.servers);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// `RssAnon` of a process in bytes; 0 for one that is gone.
fn anonymous(pid: &str) -> i64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: Option<i64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

/// A Create is over.
pub fn created(mode: &'static str, succeeded: bool) {
    let Some(metrics) = METRICS.get() else { return };
    let result = if succeeded { "created" } else { "failed" };
    metrics.creates.get_or_create(&Created { mode, result }).inc();
}

/// A container has ended.
pub fn exited(exit: &Exit) {
    let Some(metrics) = METRICS.get() else { return };
    metrics.exits.get_or_create(&Exited { class: class(exit) }).inc();
    denied(metrics, &exit.denied);
}

fn denied(metrics: &Metrics, counts: &Counts) {
    for (kind, count) in counts {
        metrics.denied.get_or_create(&Kind { kind: kind.to_string() }).inc_by(*count);
    }
}

/// How a container ended, by the table of ends.
fn class(exit: &Exit) -> &'static str {
    match (exit.code, exit.oom, exit.reason.is_some()) {
        (0, ..) => "success",
        (_, true, _) => "out-of-memory",
        (124, _, true) => "timeout",
        (134, _, true) => "trap",
        (139, _, true) => "host-crash",
        (129.., false, false) => "signal",
        _ => "failure",
    }
}

/// A step took so long.
pub fn took(stage: Stage, time: Duration) {
    if let Some(metrics) = METRICS.get() {
        metrics.stages.get_or_create(&Step { stage: stage.name() }).observe(time.as_secs_f64());
    }
}

/// In place of a mode, of containers that are no Wasm. How these end is not counted: nobody here runs them.
pub const NATIVE: &str = "native";

/// The mode in a label's word.
pub fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Normal => "normal",
        Mode::Shared => "shared",
    }
}

/// Counts from here on.
pub(super) fn begin() -> &'static Metrics {
    METRICS.get_or_init(Metrics::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_have_classes() {
        let exit = |code, oom, reason: Option<&str>| Exit {
            id: String::new(),
            code,
            reason: reason.map(str::to_owned),
            oom,
            told: true,
            denied: Counts::new(),
        };
        for (code, oom, reason, word) in [
            (0, false, None, "success"),
            (3, false, None, "failure"),
            (134, false, Some("trap"), "trap"),
            (134, false, None, "signal"),
            (137, true, Some("memory"), "out-of-memory"),
            (137, false, None, "signal"),
            (143, false, None, "signal"),
            (124, false, Some("time"), "timeout"),
            (124, false, None, "failure"),
            (139, false, Some("crashed"), "host-crash"),
        ] {
            assert_eq!(class(&exit(code, oom, reason)), word, "{code}");
        }
    }

    #[test]
    fn what_is_told_is_prometheus_text() {
        let metrics = Metrics::new();
        metrics.stages.get_or_create(&Step { stage: "create" }).observe(0.02);
        metrics.creates.get_or_create(&Created { mode: "normal", result: "created" }).inc();
        denied(&metrics, &[(host::protocol::Kind::Connect, 12)].into());
        let running = || State { mode: "shared", state: "running" };
        let census = Census { containers: vec![running(), running()], hosts: vec![1], servers: Vec::new() };
        let text = metrics.text(census).unwrap();
        for line in [
            "run_wasm_stage_seconds_bucket{le=\"0.025\",stage=\"create\"} 1",
            "run_wasm_creates_total{mode=\"normal\",result=\"created\"} 1",
            "run_wasm_denied_calls_total{kind=\"connect\"} 12",
            "run_wasm_containers{mode=\"shared\",state=\"running\"} 2",
            "run_wasm_hosts 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        // Those who are gone are counted no more.
        assert!(!metrics.text(Census::default()).unwrap().contains("run_wasm_containers{"));
    }
}
