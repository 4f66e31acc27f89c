//! `density`: what one of very many sleeping containers keeps: PSS of all processes that they brought, and the kernel's part,
//! divided by their number.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::crowd::Crowd;
use crate::direct;
use crate::options::Options;
use crate::peer::Peer;
use crate::report::Report;
use crate::sample::Sample;

/// How many `ctr run` at a time start the containers.
const AT_ONCE: usize = 4;

/// Where servers that nobody asks for anything listen, from here on.
const FIRST_PORT: u16 = 20_000;

/// A component of more than 10 MB, after one call of the host.
const LARGE: &str = "sleep-js";

#[derive(Default)]
struct Samples {
    kib: Sample,
    pss: Sample,
    kernel: Sample,
    containers: Sample,
}

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut samples: BTreeMap<String, Samples> = BTreeMap::new();
    let crowds = crowds(options);
    for round in 0..options.density_rounds {
        for crowd in &crowds {
            eprintln!("==> density: round {round}, {} containers of {}", crowd.containers, crowd.name);
            let (footprint, arrived) = crowd.measure()?;
            let of = samples.entry(crowd.name.clone()).or_default();
            let containers = arrived as f64;
            of.kib.push((footprint.pss + footprint.kernel) / containers);
            of.pss.push(footprint.pss / containers);
            of.kernel.push(footprint.kernel / containers);
            of.containers.push(containers);
        }
    }
    for (name, samples) in &samples {
        report.sample(&format!("density.{name}_kib_per_container"), &samples.kib);
        report.sample(&format!("density.{name}_pss_kib"), &samples.pss);
        report.sample(&format!("density.{name}_kernel_kib"), &samples.kernel);
        report.sample(&format!("density.{name}_n"), &samples.containers);
    }
    for to in ["runc", "runwasi"] {
        let (ours, theirs) = ("density.shared_kib_per_container", format!("density.{to}_kib_per_container"));
        report.ratio(&format!("density.shared_vs_{to}"), ours, &theirs);
    }
    let theirs = "density.large_runwasi_kib_per_container";
    report.ratio("density.large_shared_vs_runwasi", "density.large_shared_kib_per_container", theirs);
    if options.peers.contains(&Peer::Shared) {
        direct::measure(options, report)?;
    }
    Ok(())
}

fn crowds(options: &Options) -> Vec<Crowd> {
    let small = options.peers_of(&[Peer::Runc, Peer::Runwasi, Peer::Normal, Peer::Shared]);
    let small = small.into_iter().map(|peer| Crowd {
        name: peer.name().to_owned(),
        peer,
        program: "sleep",
        containers: options.count,
        at_once: AT_ONCE,
        serves_from: None,
    });
    let large = options.peers_of(&[Peer::Runwasi, Peer::Normal, Peer::Shared]);
    let large = large.into_iter().map(|peer| Crowd {
        name: format!("large_{}", peer.name()),
        peer,
        program: LARGE,
        containers: options.large_count,
        at_once: AT_ONCE,
        serves_from: None,
    });
    let idle = options.peers_of(&[Peer::Shared]).into_iter().map(|peer| Crowd {
        name: "idle_http".to_owned(),
        peer,
        program: "serve",
        containers: options.count,
        at_once: AT_ONCE,
        serves_from: Some(FIRST_PORT),
    });
    small.chain(large).chain(idle).collect()
}
