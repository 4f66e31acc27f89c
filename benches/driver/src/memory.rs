//! `memory`: what a sleeping container keeps: PSS of all its processes, and the kernel's part.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::crowd::Crowd;
use crate::options::Options;
use crate::peer::Peer;
use crate::report::Report;
use crate::sample::Sample;

/// The programs that only sleep, and the name of each in metrics.
const LARGE: [(&str, &str); 2] = [("sleep-js", "large"), ("sleep-py", "python")];

#[derive(Default)]
struct Samples {
    pss: Sample,
    kernel: Sample,
    total: Sample,
    processes: Sample,
}

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut samples: BTreeMap<String, Samples> = BTreeMap::new();
    let crowds = crowds(options);
    for round in 0..options.memory_rounds {
        for crowd in &crowds {
            eprintln!("==> memory: round {round}, {} containers of {}", crowd.containers, crowd.name);
            take(crowd, samples.entry(crowd.name.clone()).or_default())?;
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

fn crowds(options: &Options) -> Vec<Crowd> {
    let measured = [Peer::Runc, Peer::Runwasi, Peer::Normal];
    let peers = || options.peers.iter().copied().filter(|peer| measured.contains(peer));
    let small = peers().map(|peer| Crowd {
        name: peer.name().to_owned(),
        peer,
        program: "sleep",
        containers: options.containers,
        at_once: 1,
        serves_from: None,
    });
    let large = LARGE.into_iter().flat_map(|(program, name)| {
        peers().filter(|peer| *peer != Peer::Runc).map(move |peer| Crowd {
            name: format!("{name}_{}", peer.name()),
            peer,
            program,
            containers: options.large_containers,
            at_once: 1,
            serves_from: None,
        })
    });
    small.chain(large).collect()
}

fn take(crowd: &Crowd, samples: &mut Samples) -> Result<()> {
    let (footprint, arrived) = crowd.measure()?;
    ensure!(arrived == crowd.containers, "a smaller crowd cannot be compared with the others");
    let containers = crowd.containers as f64;
    let mib = |kib: f64| kib / 1024.0 / containers;
    samples.pss.push(mib(footprint.pss));
    samples.kernel.push(mib(footprint.kernel));
    samples.total.push(mib(footprint.pss + footprint.kernel));
    samples.processes.push(footprint.processes as f64 / containers);
    Ok(())
}
