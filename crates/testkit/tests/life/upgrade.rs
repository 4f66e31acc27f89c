//! A new release that is installed while pods run, and a containerd that is killed then.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};
use testkit::cri::ContainerState;
use testkit::{Node, Pod, PodContainer, Process, eventually, mode, tell};

/// Pods of each mode.
const MANY: usize = 100;

const HANDLERS: [&str; 2] = ["run", "run-shared"];

/// Which program file a process runs.
fn release(process: &Process) -> Result<u64> {
    Ok(fs::metadata(format!("/proc/{}/exe", process.pid))?.ino())
}

fn pids(processes: Vec<Process>) -> BTreeSet<i32> {
    processes.into_iter().map(|process| process.pid).collect()
}

/// Our processes on the node.
fn ours(node: &Node) -> Result<BTreeSet<i32>> {
    Ok(pids(node.shims()?).union(&pids(node.nest().hosts()?)).copied().collect())
}

fn all_run(containers: &[PodContainer<'_>]) -> Result<()> {
    let mut lost = 0;
    for container in containers {
        lost += usize::from(container.status()?.state() != ContainerState::Running);
    }
    ensure!(lost == 0, "{lost} of {} are lost", containers.len());
    Ok(())
}

testkit::pod_stories! {
    fn pods_of_both_modes_run_on_under_a_new_release_and_a_new_containerd(node) {
        if mode::means_nothing("it has pods of both modes") {
            return Ok(());
        }
        node.containerd().install()?;
        let pods = (0..2 * MANY)
            .zip(HANDLERS.iter().cycle())
            .map(|(number, handler)| node.pod(&format!("old-{number}")).handler(handler).host_network().run())
            .collect::<Result<Vec<Pod<'_>>>>()?;
        let containers = pods.iter().map(|pod| pod.guest("sleep", "sleep.wasm")?.start()).collect::<Result<Vec<_>>>()?;
        all_run(&containers)?;
        let old = ours(node)?;
        let releases = node.shims()?.iter().map(release).collect::<Result<BTreeSet<_>>>()?;
        ensure!(old.len() == 2 * MANY + 2 && releases.len() == 1, "{} processes, {releases:?}", old.len());

        node.containerd().install()?;
        for handler in HANDLERS {
            let pod = node.pod("new").handler(handler).run()?;
            let container = pod.guest("sleep", "sleep.wasm")?.start()?;
            container.says("sleeping")?;
            let shims = node.shims()?;
            let new = shims.iter().filter(|shim| !old.contains(&shim.pid)).map(release).collect::<Result<BTreeSet<_>>>()?;
            ensure!(new.len() == 1 && new.is_disjoint(&releases), "{handler}: a new pod has the old release: {new:?}");
            pod.remove()?;
        }
        ensure!(ours(node)?.is_superset(&old), "what ran before the installation has ended");

        node.containerd().kill()?;
        node.containerd().begin()?;
        let [first, second, ..] = pods.as_slice() else { anyhow::bail!("no pods") };
        eventually("CRI answers", 60, || Ok(first.is_ready().unwrap_or(false)))?;
        all_run(&containers)?;
        ensure!(ours(node)?.is_superset(&old), "what ran before containerd was killed has ended");
        tell(&format!("{:?}: containerd killed with {MANY} pods of each mode, of an older release: lost 0", node.containerd().version()));

        for pod in [first, second] {
            let late = pod.guest("late", "hello.wasm")?.start()?;
            ensure!(late.end()?.exit_code == 0 && late.output("stdout")? == "hello from run-wasm\n", "{:?}", late.log()?);
        }
        drop(containers);
        for pod in pods {
            pod.remove()?;
        }
        eventually("the old release has gone with its last pod", 30, || Ok(ours(node)?.is_disjoint(&old)))?;
    }
}
