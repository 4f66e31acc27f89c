//! What the pods of one deployment keep: all memory of the machine that is in use with them and was not without, whoever uses it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;

use super::deployment::Deployment;
use super::watch::Watch;
use super::{MEASURED, compare};
use crate::footprint::{Baseline, in_use};
use crate::options::Options;
use crate::peer::Peer;
use crate::processes::{Shims, kill_server};
use crate::report::Report;
use crate::sample::{Case, Sample, interleaved};

/// Parts of it, by name.
type Parts = BTreeMap<String, Sample>;

pub fn measure(watch: &Watch, options: &Options, report: &mut Report) -> Result<()> {
    let mut parts = Parts::new();
    let log = RefCell::new(&mut parts);
    let mut cases = Vec::new();
    let rounds = options.mem_rounds;
    for peer in options.peers_of(&MEASURED).into_iter().filter(|_| rounds > 0) {
        let (log, pods) = (&log, options.mem_pods);
        let run = move |round: &str| {
            let deployment = Deployment { name: round.to_owned(), peer, pods };
            take(watch, peer, &deployment, *log.borrow_mut())
        };
        cases.push(Case { name: peer.name().to_owned(), run: Box::new(run) });
    }
    let samples = interleaved("mem", rounds, false, &mut cases)?;
    drop(cases);
    for (peer, sample) in &samples {
        report.sample(&format!("kubernetes.mem_{peer}_kib"), sample);
    }
    for (part, sample) in &parts {
        report.sample(&format!("kubernetes.mem_{part}_kib"), sample);
    }
    compare("kubernetes.mem", "kib", report);
    Ok(())
}

/// KiB of a pod.
fn take(watch: &Watch, peer: Peer, deployment: &Deployment, parts: &mut Parts) -> Result<f64> {
    // What serves all pods is counted from its birth.
    kill_server(peer)?;
    let shims = Shims::to_come(peer)?;
    let before = in_use()?;
    let baseline = Baseline::take()?;
    deployment.apply()?;
    watch.all_ready(deployment)?;
    let footprint = baseline.grown()?;
    let grown = in_use()? - before;
    deployment.delete()?;
    shims.await_end()?;
    kill_server(peer)?;
    let pods = deployment.pods as f64;
    for (part, kib) in [("pss", footprint.pss), ("kernel", footprint.kernel)] {
        parts.entry(format!("{}_{part}", peer.name())).or_default().push(kib / pods);
    }
    Ok(grown / pods)
}
