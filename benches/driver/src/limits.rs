//! `limits`: how close a container's limits are to what its spec says: CPU quota, CPU weight, memory.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::containerd::ctr;
use crate::footprint::pss;
use crate::peer::Peer;
use crate::processes::processes;
use crate::report::Report;
use crate::sample::Sample;

/// How often each limit is measured; the median counts.
const ROUNDS: usize = 5;

/// How long a busy container is watched, in whole periods of its quota.
const WATCH: Duration = Duration::from_secs(3);

/// What part of a CPU is asked for: little enough to be had on a busy machine.
const QUOTA: f64 = 0.2;

/// The weights of two containers that share a CPU, in the shares of cgroup v1.
const WEIGHTS: [u64; 2] = [1024, 3072];

/// The memory limit, and what the guest wants.
const LIMIT_MIB: u64 = 64;
const WANTED_MIB: &str = "256";

/// How long a container may take to do what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

pub fn measure(report: &mut Report) -> Result<()> {
    let (mut quota, mut weight) = (Sample::default(), Sample::default());
    let (mut overshoot, mut peak, mut idle) = (Sample::default(), Sample::default(), Sample::default());
    for round in 0..ROUNDS {
        eprintln!("==> limits: round {round}");
        quota.push(cpu_quota(round)?);
        weight.push(cpu_weight(round)?);
        let (most, rest) = memory(round)?;
        let limit = LIMIT_MIB as f64;
        overshoot.push((most - rest - limit) / limit);
        peak.push(most);
        idle.push(rest);
    }
    report.sample("limits.cpu_quota", &quota);
    report.value("limits.cpu_quota_error", (quota.median() / QUOTA - 1.0).abs());
    let [light, heavy] = WEIGHTS.map(|weight| weight as f64);
    report.sample("limits.weight_ratio", &weight);
    report.value("limits.weight_error", (weight.median() / (heavy / light) - 1.0).abs());
    report.sample("limits.memory_peak_mib", &peak);
    report.sample("limits.memory_idle_host_mib", &idle);
    // The worst round: a peak is easily missed, and never seen where there is none.
    report.value("limits.memory_overshoot", overshoot.quantile(1.0));
    Ok(())
}

/// The part of a CPU that a busy container with a quota gets.
fn cpu_quota(round: usize) -> Result<f64> {
    let busy = Busy::start(&format!("quota-{round}"), "spin", &["--cpus", &QUOTA.to_string()])?;
    let (begin, before) = (Instant::now(), busy.cpu()?);
    std::thread::sleep(WATCH);
    let used = busy.cpu()? - before;
    Ok(used.as_secs_f64() / begin.elapsed().as_secs_f64())
}

/// How much more CPU the heavier of two busy containers gets on the one CPU that they share.
fn cpu_weight(round: usize) -> Result<f64> {
    let start = |weight: u64| -> Result<Busy> {
        let shares = weight.to_string();
        let busy = Busy::start(&format!("weight-{weight}-{round}"), "spin", &["--cpu-shares", &shares])?;
        let mut taskset = Command::new("taskset");
        taskset.args(["-a", "-p", "-c", "0", &busy.pid.to_string()]).stdout(Stdio::null());
        ensure!(taskset.status().context("cannot run taskset")?.success(), "cannot pin a container to a CPU");
        Ok(busy)
    };
    let [light, heavy] = WEIGHTS;
    let (light, heavy) = (start(light)?, start(heavy)?);
    let before = (light.cpu()?, heavy.cpu()?);
    std::thread::sleep(WATCH);
    let (light, heavy) = (light.cpu()? - before.0, heavy.cpu()? - before.1);
    Ok(heavy.as_secs_f64() / light.as_secs_f64())
}

/// The most that the host of a guest ever has which wants more than its limit, and what that of one has which sleeps: PSS in
/// MiB.
fn memory(round: usize) -> Result<(f64, f64)> {
    let limit = (LIMIT_MIB << 20).to_string();
    let flags = ["--memory-limit", limit.as_str()];
    let sleeping = Busy::start(&format!("idle-{round}"), "sleep", &flags)?;
    let idle = until("a guest sleeps", || Ok(sleeping.rests()?.then(|| pss(sleeping.pid))))?;
    drop(sleeping);
    let id = format!("hog-{round}");
    let image = Peer::Normal.image("memory-hog");
    let words = ["run", "--rm"].iter().chain(Peer::Normal.flags()).chain(&flags).copied();
    let words = words.chain([image.as_str(), id.as_str(), "/memory-hog.wasm", WANTED_MIB]);
    let (peak, end) = std::thread::scope(|scope| -> Result<_> {
        let run = scope.spawn(|| ctr(words));
        // Its host is there before the guest begins.
        let host = until("the host is born", || host_of(&id))?;
        let mut peak: f64 = 0.0;
        while !run.is_finished() {
            peak = peak.max(pss(host));
        }
        Ok((peak, run.join()))
    })?;
    let told = match end {
        Ok(Err(end)) => format!("{end:#}"),
        end => format!("{end:?}"),
    };
    ensure!(told.contains("memory limit of 64 MiB reached"), "nobody was told why the guest ended: {told}");
    Ok((peak / 1024.0, idle / 1024.0))
}

/// The process that runs a container, by its command line.
fn host_of(id: &str) -> Result<Option<u32>> {
    let end = format!("\0host\0{id}\0");
    let is_it = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.ends_with(end.as_bytes())
    };
    Ok(processes()?.into_iter().find(is_it))
}

/// A container of ours that goes on by itself; it ends when this is dropped.
struct Busy {
    id: String,
    pid: u32,
}

impl Busy {
    fn start(id: &str, program: &str, flags: &[&str]) -> Result<Busy> {
        let image = Peer::Normal.image(program);
        let words = ["run", "--detach"].iter().chain(Peer::Normal.flags()).chain(flags);
        ctr(words.copied().chain([image.as_str(), id])).with_context(|| format!("cannot start {id}"))?;
        let pid = until("the container has a process", || host_of(id))?;
        Ok(Busy { id: id.to_owned(), pid })
    }

    /// The CPU time of all of its threads.
    fn cpu(&self) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanoseconds = stat.split(' ').next().and_then(|text| text.parse().ok());
            sum += Duration::from_nanos(nanoseconds.context("a thread without its CPU time")?);
        }
        Ok(sum)
    }

    /// Whether it uses no CPU for a moment.
    fn rests(&self) -> Result<bool> {
        let before = self.cpu()?;
        std::thread::sleep(Duration::from_millis(100));
        Ok(before > Duration::ZERO && self.cpu()? == before)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed; containers that stay go with the pid namespace.
        let _ = ctr(["task", "kill", "--signal", "KILL", &self.id]);
        let removed = until("a container is removed", || Ok(ctr(["task", "rm", &self.id]).ok()));
        let _ = removed.and_then(|_| ctr(["containers", "rm", &self.id]));
    }
}

fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        ensure!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
