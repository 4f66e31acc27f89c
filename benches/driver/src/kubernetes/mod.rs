//! `kubernetes`: from `kubectl apply` of a Deployment until all its pods are Ready, and what pods keep of the machine's memory, under a
//! control plane and a kubelet as they are. Runs on the node that `scripts/cluster.sh` makes, in its namespaces.

mod deployment;
mod memory;
mod size;
mod watch;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;

use crate::options::Options;
use crate::peer::Peer;
use crate::processes::{Shims, processor_seconds};
use crate::report::Report;
use crate::sample::{Case, Sample, interleaved};
use deployment::Deployment;
pub use size::Size;
use watch::Watch;

/// Who has a RuntimeClass. crun has runc's shim, and a pod of it is a pod of runc's.
const MEASURED: [Peer; 5] = [Peer::Runc, Peer::Runwasi, Peer::Normal, Peer::Shared, Peer::Floor];

pub fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let watch = Watch::open()?;
    for (number, size) in options.ready.iter().enumerate() {
        ready(&watch, options, *size, number == 0, report)?;
    }
    memory::measure(&watch, options, report)
}

/// Pods that are wanted until pods that are ready. Caches fill in rounds before the first that counts.
fn ready(watch: &Watch, options: &Options, size: Size, first: bool, report: &mut Report) -> Result<()> {
    let what = format!("ready{}", size.pods);
    let mut processor: BTreeMap<String, Sample> = BTreeMap::new();
    let log = RefCell::new(&mut processor);
    let mut cases = Vec::new();
    for peer in options.peers_of(&MEASURED) {
        let log = &log;
        let run = move |round: &str| {
            let deployment = Deployment { name: round.to_owned(), peer, pods: size.pods };
            let shims = Shims::to_come(peer)?;
            let (begin, used) = (Instant::now(), processor_seconds()?);
            deployment.apply()?;
            let took = watch.all_ready(&deployment)?.duration_since(begin);
            let used = processor_seconds()? - used;
            log.borrow_mut().entry(peer.name().to_owned()).or_default().push(used);
            deployment.delete()?;
            shims.await_end()?;
            Ok(took.as_secs_f64())
        };
        cases.push(Case { name: peer.name().to_owned(), run: Box::new(run) });
    }
    let samples = interleaved(&what, size.rounds, first, &mut cases)?;
    drop(cases);
    for (peer, sample) in &samples {
        report.sample(&format!("kubernetes.{what}_{peer}_s"), sample);
    }
    for (peer, sample) in processor {
        report.sample(&format!("kubernetes.{what}_{peer}_cpu_s"), &sample.newest(size.rounds));
    }
    compare(&format!("kubernetes.{what}"), "s", report);
    Ok(())
}

/// Both our modes beside peers, and what the null shim would have reached.
fn compare(group: &str, unit: &str, report: &mut Report) {
    let of = |peer: &str| format!("{group}_{peer}_{unit}");
    for to in ["runc", "runwasi"] {
        for ours in ["normal", "shared"] {
            let name = format!("{group}_{ours}_vs_{to}");
            report.ratio(&name, &of(ours), &of(to));
            report.floor(&name, &of("floor"), &of(to));
        }
    }
    report.ratio(&format!("{group}_floor_vs_runc"), &of("floor"), &of("runc"));
}
