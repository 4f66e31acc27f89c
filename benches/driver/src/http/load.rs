//! Load by `wrk`: one thread of it keeps a number of connections busy, and says how long requests took.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::options::Options;
use crate::processes::processes;

/// What `wrk` is to say at its end.
const SCRIPT: &str = r#"
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "duration": %d, "p50": %d, "p99": %d, "errors": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// Times in microseconds.
#[derive(Debug, Deserialize)]
struct Said {
    requests: u64,
    duration: u64,
    p50: f64,
    p99: f64,
    errors: u64,
}

/// What a server did under a load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub per_s: f64,
    /// Microseconds, as the CPU time of a request: that of all processes but the client's.
    pub p50: f64,
    pub p99: f64,
    pub cpu: f64,
}

/// Asks the server at `port` for its greeting by so many connections, for as long as the options say.
///
/// # Errors
/// A request that is not answered, or not with 200: what is fast because it fails is not measured.
pub fn put_on(port: u16, connections: u32, options: &Options) -> Result<Load> {
    let script = options.folder.join("report.lua");
    fs::write(&script, SCRIPT)?;
    let before = cpu_time()?;
    let mut wrk = Command::new("wrk");
    wrk.args(["--threads", "1", "--connections", &connections.to_string()])
        .args(["--duration", &format!("{}s", options.http_seconds), "--timeout", "30s"])
        .arg("--script")
        .arg(&script)
        .arg(format!("http://127.0.0.1:{port}/hello"))
        .stdin(Stdio::null());
    let output = wrk.output().context("cannot run wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{wrk:?}: {text} {}", String::from_utf8_lossy(&output.stderr));
    let cpu = cpu_time()? - before;
    let last = text.lines().rev().find(|line| line.starts_with('{'));
    let said: Said = serde_json::from_str(last.with_context(|| format!("wrk says no figures: {text}"))?)?;
    ensure!(said.errors == 0 && said.requests > 0, "{wrk:?}: {said:?}");
    let requests = said.requests as f64;
    Ok(Load {
        per_s: requests * 1e6 / said.duration as f64,
        p50: said.p50,
        p99: said.p99,
        cpu: cpu / requests,
    })
}

/// Microseconds of CPU that all processes here have used, but this one and those that it has waited for.
fn cpu_time() -> Result<f64> {
    let own = std::process::id();
    let all = processes()?.into_iter().filter(|pid| *pid != own);
    Ok(all.filter_map(cpu_time_of).sum())
}

/// The times of a process that is there, by the scheduler's own count.
fn cpu_time_of(pid: u32) -> Option<f64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of_task = |task: fs::DirEntry| -> Option<f64> {
        // In nanoseconds: on the CPU, waiting for one, and how often.
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Some(tasks.flatten().filter_map(of_task).sum::<f64>() / 1e3)
}
