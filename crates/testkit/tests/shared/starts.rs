//! Managers that begin and end.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use testkit::{Bundle, Generation, Nest, Process, alone, eventually, until};

use crate::{NODE, alone_on_the_machine, among_others, manager};

/// The controllers of cgroup v1 that bound or count anything.
const V1: &[&str] = &["cpu", "cpuacct", "memory", "pids", "freezer"];

/// The cgroups that hold this process, of those that managers make for themselves.
fn cgroups_of(manager: &Process) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().filter_map(Result::ok);
    let places = hierarchies.map(|hierarchy| hierarchy.path().join("run-wasm"));
    let places = places.chain([PathBuf::from("/sys/fs/cgroup/run-wasm")]);
    let folders = places.filter_map(|place| fs::read_dir(place).ok()).flatten().filter_map(Result::ok);
    folders.map(|folder| folder.path()).filter(|folder| held(folder).contains(&manager.pid)).collect()
}

/// The processes in a cgroup.
fn held(cgroup: &Path) -> Vec<i32> {
    let list = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|pid| pid.parse().ok()).collect()
}

fn bundle<'a>(nest: &'a Nest, id: &str) -> Result<Bundle<'a>> {
    Bundle::of(nest, id, "hello.wasm")?.config(NODE)
}

#[test]
fn a_hundred_starts_on_a_cold_node_make_one_manager() -> Result<()> {
    let _among = among_others();
    alone(|nest| {
        let bundles = (0..100).map(|n| bundle(nest, &format!("crowd{n}"))).collect::<Result<Vec<_>>>()?;
        let starts = std::thread::scope(|scope| {
            let calls: Vec<_> = bundles.iter().map(|bundle| scope.spawn(|| bundle.call("start"))).collect();
            calls
                .into_iter()
                .map(|call| call.join().map_err(|_| anyhow::anyhow!("a panic"))?)
                .collect::<Result<Vec<_>>>()
        })?;
        for start in &starts {
            ensure!(start.code == 0 && Some(start) == starts.first(), "{start}");
        }
        manager(nest)?;
        // Every other one comes; for the rest containerd gives up, and says so.
        for (number, bundle) in bundles.iter().enumerate() {
            if number % 2 == 0 {
                let shim = bundle.shim(Generation::V3)?;
                assert_eq!(shim.run()?, 0);
                shim.shutdown()?;
            } else {
                let delete = bundle.call("delete")?;
                ensure!(delete.code == 0, "{delete}");
            }
        }
        Ok(())
    })
}

#[test]
fn an_idle_manager_ends_and_leaves_nothing() -> Result<()> {
    // The manager of another test may have the same name, and so the same cgroup.
    let _alone = alone_on_the_machine();
    alone(|nest| {
        let bundle = bundle(nest, "only")?;
        let shim = bundle.shim(Generation::V2)?;
        let manager = manager(nest)?;
        let cgroups = until("it is in cgroups of its own", 30, || {
            let wanted = if Path::new("/sys/fs/cgroup/memory").is_dir() { V1 } else { &[] };
            let cgroups = cgroups_of(&manager);
            let is_in = |controller: &&str| {
                let hierarchy = Path::new("/sys/fs/cgroup").join(controller);
                cgroups.iter().any(|cgroup| cgroup.starts_with(&hierarchy))
            };
            Ok((!cgroups.is_empty() && wanted.iter().all(is_in)).then_some(cgroups))
        })?;
        assert_eq!(shim.run()?, 0);
        shim.shutdown()?;
        eventually("the manager ends", 30, || Ok(nest.shims()?.is_empty()))?;
        for left in ["/run/run-wasm/managers", "/run/run-wasm/tasks"] {
            let entries = fs::read_dir(nest.see(left)).into_iter().flatten().count();
            assert_eq!(entries, 0, "{left}");
        }
        eventually("its cgroups are gone", 30, || Ok(cgroups.iter().all(|cgroup| !cgroup.exists())))
    })
}

#[test]
fn a_manager_that_is_needed_again_at_its_end_serves() -> Result<()> {
    let _among = among_others();
    alone(|nest| {
        // Somewhere among these pauses is the moment at which it ends.
        for step in 0..12u64 {
            let bundle = bundle(nest, "again")?;
            let shim = bundle.shim(Generation::V3)?;
            assert_eq!(shim.run()?, 0, "{step}: {}", shim.output());
            shim.shutdown()?;
            std::thread::sleep(std::time::Duration::from_millis(200 + 50 * step));
        }
        Ok(())
    })
}

#[test]
fn a_manager_that_ends_takes_nothing_from_its_successor() -> Result<()> {
    let _among = among_others();
    alone(|nest| {
        // It takes long to end: nobody takes what it has to tell.
        let bundle = bundle(nest, "first")?.environment("TTRPC_ADDRESS=/run/nobody");
        let shim = bundle.shim(Generation::V3)?;
        let first = manager(nest)?;
        assert_eq!(shim.run()?, 0);
        shim.shutdown()?;
        let is_empty = |folder: &str| fs::read_dir(nest.see(folder)).into_iter().flatten().count() == 0;
        eventually("it can be reached no more", 30, || Ok(is_empty("/run/containerd/s")))?;
        let second = self::bundle(nest, "second")?;
        let shim = second.shim(Generation::V3)?;
        shim.create()?;
        let has_ended = || -> Result<bool> { Ok(nest.shims()?.iter().all(|shim| shim.pid != first.pid)) };
        ensure!(!has_ended()?, "it ended before its successor began, so this tells nothing");
        eventually("it ends", 30, has_ended)?;
        ensure!(!is_empty("/run/run-wasm/metrics"), "its successor's socket of metrics is gone");
        shim.delete()?;
        shim.shutdown()
    })
}
