//! What the pods of one deployment keep: all memory that is in use with them and was not without, whoever uses it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use anyhow::Result;

use super::deployment::Deployment;
use super::watch::Watch;
use super::{MEASURED, compare};
use crate::footprint::{in_use, kernel, meminfo, pss_unshared, settled};
use crate::options::Options;
use crate::processes::{Shims, kill_server, processes};
use crate::report::Report;
use crate::sample::{Case, Sample, interleaved};

pub fn measure(watch: &Watch, options: &Options, report: &mut Report) -> Result<()> {
    if options.mem_rounds == 0 {
        return Ok(());
    }
    let mut parts: BTreeMap<String, Sample> = BTreeMap::new();
    let log = RefCell::new(&mut parts);
    let mut cases = Vec::new();
    for peer in options.peers_of(&MEASURED) {
        let (log, pods) = (&log, options.mem_pods);
        let run = move |round: &str| {
            let grown = take(watch, &Deployment { name: round.to_owned(), peer, pods })?;
            let of_pod = |kib: f64| kib / pods as f64;
            let parts = [
                ("pods", grown.pods),
                ("daemons", grown.daemons),
                ("kernel", grown.kernel),
                ("machine", grown.machine),
            ];
            for (part, kib) in parts {
                log.borrow_mut().entry(format!("{}_{part}", peer.name())).or_default().push(of_pod(kib));
            }
            Ok(of_pod(grown.pods + grown.daemons + grown.kernel))
        };
        cases.push(Case { name: peer.name().to_owned(), run: Box::new(run) });
    }
    let samples = interleaved("mem", options.mem_rounds, false, &mut cases)?;
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

fn take(watch: &Watch, deployment: &Deployment) -> Result<Grown> {
    let peer = deployment.peer;
    // What serves all pods is counted from its birth.
    kill_server(peer)?;
    let shims = Shims::to_come(peer)?;
    let before = Snapshot::take()?;
    deployment.apply()?;
    watch.all_ready(deployment)?;
    let grown = before.grown(&Snapshot::take()?);
    deployment.delete()?;
    shims.await_end()?;
    kill_server(peer)?;
    Ok(grown)
}

/// The node's memory, in KiB.
struct Snapshot {
    /// What each process has for itself, and its share of mapped files.
    processes: BTreeMap<u32, f64>,
    /// The kernel's own, and what lies in tmpfs and other shared memory.
    kernel: f64,
    /// What is not free, whoever may use it.
    machine: f64,
}

/// What has come between two of them.
#[derive(Debug, PartialEq)]
struct Grown {
    /// With processes that have come.
    pods: f64,
    /// With those that were there: containerd, the kubelet, the control plane.
    daemons: f64,
    kernel: f64,
    machine: f64,
}

impl Snapshot {
    /// Waits for a node at rest.
    fn take() -> Result<Snapshot> {
        settled(|| Ok(processes()?.into_iter().map(pss_unshared).sum::<f64>() + kernel()?))?;
        Ok(Snapshot {
            processes: processes()?.into_iter().map(|pid| (pid, pss_unshared(pid))).collect(),
            kernel: kernel()? + meminfo(&["Shmem"])?,
            machine: in_use()?,
        })
    }

    fn grown(&self, later: &Snapshot) -> Grown {
        let (old, new): (Vec<_>, Vec<_>) =
            later.processes.iter().partition(|(pid, _)| self.processes.contains_key(pid));
        let sum = |processes: Vec<(&u32, &f64)>| processes.into_iter().map(|(_, kib)| kib).sum::<f64>();
        Grown {
            pods: sum(new),
            daemons: sum(old) - self.processes.values().sum::<f64>(),
            kernel: later.kernel - self.kernel,
            machine: later.machine - self.machine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Grown, Snapshot};

    #[test]
    fn whoever_was_there_is_no_pod() {
        let before = Snapshot { processes: [(1, 100.0), (2, 50.0)].into(), kernel: 10.0, machine: 1000.0 };
        let later =
            Snapshot { processes: [(1, 120.0), (3, 7.0), (4, 8.0)].into(), kernel: 11.0, machine: 1100.0 };
        let expected = Grown { pods: 15.0, daemons: -30.0, kernel: 1.0, machine: 100.0 };
        assert_eq!(before.grown(&later), expected);
    }
}
