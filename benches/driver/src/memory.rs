//! `memory`: what a sleeping container keeps: PSS of all its processes, and the kernel's part.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::containerd::{Containerd, ctr};
use crate::peer::Peer;
use crate::report::Report;
use crate::sample::Sample;

/// What of `/proc/meminfo` the kernel keeps for processes, mounts and cgroups.
const KERNEL_FIELDS: [&str; 4] = ["Slab", "PageTables", "KernelStack", "Percpu"];

/// How long the machine is given to come to rest, at most, and the rest that is wanted.
const SETTLING: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(500);
const REST_KIB: f64 = 256.0;

/// The programs that only sleep, and the name of each in metrics.
const LARGE: [(&str, &str); 2] = [("sleep-js", "large"), ("sleep-py", "python")];

/// One thing to measure: how many containers of what.
struct Case {
    name: String,
    peer: Peer,
    program: &'static str,
    containers: usize,
}

#[derive(Default)]
struct Samples {
    pss: Sample,
    kernel: Sample,
    total: Sample,
    processes: Sample,
}

pub fn measure(containerd: &Containerd, options: &Options, report: &mut Report) -> Result<()> {
    let mut samples: BTreeMap<String, Samples> = BTreeMap::new();
    let cases = cases(options);
    for round in 0..options.memory_rounds {
        for case in &cases {
            eprintln!("==> memory: round {round}, {} containers of {}", case.containers, case.name);
            take(containerd, case, samples.entry(case.name.clone()).or_default())?;
        }
    }
    for (name, samples) in &samples {
        report.sample(&format!("memory.{name}_mib"), &samples.total);
        report.sample(&format!("memory.{name}_pss_mib"), &samples.pss);
        report.sample(&format!("memory.{name}_kernel_mib"), &samples.kernel);
        report.value(&format!("memory.{name}_processes"), samples.processes.median());
    }
    for to in ["runc", "runwasi"] {
        report.ratio(&format!("memory.normal_vs_{to}"), "memory.normal_mib", &format!("memory.{to}_mib"));
    }
    for (_, name) in LARGE {
        let (ours, theirs) = (format!("memory.{name}_normal_mib"), format!("memory.{name}_runwasi_mib"));
        report.ratio(&format!("memory.{name}_normal_vs_runwasi"), &ours, &theirs);
    }
    if let Some(processes) = report.get("memory.normal_processes") {
        report.value("memory.processes_per_container", processes);
    }
    Ok(())
}

fn cases(options: &Options) -> Vec<Case> {
    let measured = [Peer::Runc, Peer::Runwasi, Peer::Normal];
    let peers = || options.peers.iter().copied().filter(|peer| measured.contains(peer));
    let small = peers().map(|peer| Case {
        name: peer.name().to_owned(),
        peer,
        program: "sleep",
        containers: options.containers,
    });
    let large = LARGE.into_iter().flat_map(|(program, name)| {
        peers().filter(|peer| *peer != Peer::Runc).map(move |peer| Case {
            name: format!("{name}_{}", peer.name()),
            peer,
            program,
            containers: options.large_containers,
        })
    });
    small.chain(large).collect()
}

/// Starts the containers, measures once they sleep, and removes them.
fn take(containerd: &Containerd, case: &Case, samples: &mut Samples) -> Result<()> {
    let ids: Vec<_> = (0..case.containers).map(|n| format!("{}-{n}", case.name.replace('_', "-"))).collect();
    // The first fills the caches, so that compiling is no part of what is measured.
    let first = format!("{}-first", case.name.replace('_', "-"));
    start(case, &first)?;
    remove(&first)?;
    settled_kernel()?;
    let before = Baseline { processes: processes()?, kernel: settled_kernel()? };
    for id in &ids {
        start(case, id)?;
    }
    let kernel = settled_kernel()? - before.kernel;
    let own: Vec<u32> =
        processes()?.difference(&before.processes).copied().filter(|pid| *pid != containerd.pid()).collect();
    let pss = own.iter().map(|pid| pss(*pid)).sum::<f64>();
    for id in &ids {
        remove(id)?;
    }
    let containers = case.containers as f64;
    samples.pss.push(pss / 1024.0 / containers);
    samples.kernel.push(kernel / 1024.0 / containers);
    samples.total.push((pss + kernel) / 1024.0 / containers);
    samples.processes.push(own.len() as f64 / containers);
    Ok(())
}

struct Baseline {
    processes: BTreeSet<u32>,
    kernel: f64,
}

fn start(case: &Case, id: &str) -> Result<()> {
    let image = case.peer.image(case.program);
    let args = ["run", "--detach"].into_iter().chain(case.peer.flags().iter().copied());
    ctr(args.chain([image.as_str(), id])).map(drop).with_context(|| format!("cannot start {id}"))
}

fn remove(id: &str) -> Result<()> {
    ctr(["task", "kill", "--signal", "KILL", id])?;
    let begin = Instant::now();
    while ctr(["task", "rm", id]).is_err() {
        ensure!(begin.elapsed() < SETTLING, "{id} does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
    ctr(["containers", "rm", id]).map(drop)
}

/// All processes of the pid namespace.
pub fn processes() -> Result<BTreeSet<u32>> {
    let names = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

/// A process' proportional share of memory, in KiB; nothing of one that has gone or is a zombie.
pub fn pss(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    field(&rollup, "Pss").unwrap_or(0.0)
}

/// The kernel's memory in KiB, once it has come to rest.
fn settled_kernel() -> Result<f64> {
    let begin = Instant::now();
    let mut last = kernel()?;
    loop {
        std::thread::sleep(STEP);
        let now = kernel()?;
        if (now - last).abs() < REST_KIB || begin.elapsed() > SETTLING {
            return Ok(now);
        }
        last = now;
    }
}

fn kernel() -> Result<f64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let part = |name: &&str| field(&meminfo, name).with_context(|| format!("/proc/meminfo has no {name}"));
    KERNEL_FIELDS.iter().map(part).sum()
}

/// The number of a line `NAME: NUMBER kB`.
fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "PssDirty:  3 kB\nPss:       12 kB\n";
        assert_eq!(field(text, "Pss"), Some(12.0));
    }
}
