//! What a container has used: by the kernel for one with a host and a cgroup of its own, by the shim's stats for one that
//! has neither.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cgroup;
use crate::containerd::Containerd;
use crate::mode;

/// CPU time used so far.
pub(crate) fn cpu_time(daemon: &Containerd, id: &str) -> Result<Duration> {
    if !mode::is_shared() {
        return cgroup::cpu_time(daemon.nest().name(), id);
    }
    let metrics = metrics(daemon, id)?;
    let first = number(&metrics, "/cpu/usage/total").map(Duration::from_nanos);
    let second = || number(&metrics, "/cpu/usage_usec").map(Duration::from_micros);
    first.or_else(second).with_context(|| format!("{id} has no CPU time: {metrics}"))
}

/// Whether it was ever held back by its quota.
pub(crate) fn throttled(daemon: &Containerd, id: &str) -> Result<bool> {
    if !mode::is_shared() {
        return cgroup::throttled(daemon.nest().name(), id);
    }
    let metrics = metrics(daemon, id)?;
    let places = ["/cpu/throttling/throttled_periods", "/cpu/nr_throttled"];
    Ok(places.iter().any(|place| number(&metrics, place).is_some_and(|periods| periods > 0)))
}

/// The host of a container: its own, or that of all containers of the daemon in shared mode.
pub(crate) fn host(daemon: &Containerd, id: &str) -> Result<Option<i32>> {
    let line = match mode::is_shared() {
        true => format!(" host {}/-", daemon.nest().name()),
        false => format!(" host {id}"),
    };
    let hosts = daemon.nest().processes()?;
    Ok(hosts.into_iter().find(|process| process.command_line.ends_with(&line)).map(|host| host.pid))
}

/// The anonymous memory of a process, in bytes: nothing that it shares with others.
pub(crate) fn anonymous_memory(pid: i32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.map(|kib| kib << 10).context("it has no memory any more")
}

fn metrics(daemon: &Containerd, id: &str) -> Result<Value> {
    let text = daemon.ctr(["task", "metrics", "--format", "json", id])?.success()?;
    serde_json::from_str(&text).with_context(|| format!("the figures of {id} are no JSON: {text}"))
}

fn number(metrics: &Value, place: &str) -> Option<u64> {
    let value = metrics.pointer(place)?;
    // Go's encoders write 64 bits as a number or as a string, as they like.
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
