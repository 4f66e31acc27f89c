//! What only the unified hierarchy shows: scripts/test/cgroup2.sh runs these in a machine that has it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use containerd_shim_protos::api::{StatsRequest, StatsResponse};
use containerd_shim_protos::cgroups_v2::metrics::Metrics;
use protobuf::Message;
use serde_json::{Value, json};
use testkit::{Bundle, Generation, Nest, Shim, alone, eventually};

const MIB: u64 = 1 << 20;
const ROOT: &str = "/sys/fs/cgroup";

/// Where a path of the hierarchy is a folder.
fn folder(path: &str) -> PathBuf {
    Path::new(ROOT).join(path.trim_start_matches('/'))
}

/// A file of a cgroup, without the end of its line.
fn read(path: &str, file: &str) -> Result<String> {
    let file = folder(path).join(file);
    let text = fs::read_to_string(&file).with_context(|| format!("there is no {}", file.display()))?;
    Ok(text.trim().to_owned())
}

/// Creates a container in the cgroup `path`, and leaves it to a story.
fn in_cgroup(
    nest: &Nest,
    file: &str,
    path: &str,
    resources: Value,
    story: impl FnOnce(&Shim<'_>) -> Result<()>,
) -> Result<()> {
    let bundle = Bundle::of(nest, "c1", file)?.spec(|spec| {
        if let Some(linux) = spec.get_mut("linux").and_then(Value::as_object_mut) {
            linux.insert("cgroupsPath".into(), path.into());
            linux.insert("resources".into(), resources);
        }
    })?;
    let shim = bundle.shim(Generation::V3)?;
    let told = shim.create().and_then(|_pid| story(&shim));
    let ended = shim.shutdown();
    told.and(ended)
}

/// The pid of the nest's one host, as the test sees it.
fn host(nest: &Nest) -> Result<i32> {
    let processes = nest.processes()?;
    let host = processes.iter().find(|process| process.command_line.split(' ').any(|word| word == "host"));
    Ok(host.with_context(|| format!("no host among {processes:?}"))?.pid)
}

fn ends_by_a_kill(shim: &Shim<'_>) -> Result<()> {
    shim.kill(9)?;
    ensure!(shim.wait()? == 137, "it was killed");
    shim.delete().map(drop)
}

#[test]
fn this_machine_has_the_unified_hierarchy() -> Result<()> {
    let controllers = read("", "cgroup.controllers")?;
    for name in ["cpu", "memory", "pids"] {
        ensure!(controllers.split(' ').any(|other| other == name), "no {name} in {controllers}");
    }
    Ok(())
}

#[test]
fn a_host_is_born_in_its_containers_cgroup_with_the_limits_of_the_spec() -> Result<()> {
    alone(|nest| {
        let path = format!("/{}/c1", nest.name());
        let resources = json!({
            "memory": {"limit": 256 * MIB},
            "cpu": {"shares": 512, "quota": 25_000, "period": 50_000, "cpus": "1", "mems": "0"},
            "pids": {"limit": 99},
            "unified": {"memory.high": (192 * MIB).to_string(), "memory.oom.group": "1"},
        });
        in_cgroup(nest, "sleep.wasm", &path, resources, |shim| {
            let host = host(nest)?;
            assert_eq!(fs::read_to_string(format!("/proc/{host}/cgroup"))?, format!("0::{path}\n"));
            assert_eq!(read(&path, "cgroup.procs")?, host.to_string());
            assert_eq!(read(&path, "memory.max")?, (256 * MIB).to_string());
            assert_eq!(read(&path, "cpu.max")?, "25000 50000");
            assert_eq!(read(&path, "cpu.weight")?, "20");
            assert_eq!(read(&path, "pids.max")?, "99");
            assert_eq!(read(&path, "cpuset.cpus")?, "1");
            let status = fs::read_to_string(format!("/proc/{host}/status"))?;
            ensure!(status.contains("Cpus_allowed_list:\t1\n"), "{status}");
            assert_eq!(read(&path, "memory.high")?, (192 * MIB).to_string());
            assert_eq!(read(&path, "memory.oom.group")?, "1");
            shim.start()?;
            eventually("it sleeps", 60, || Ok(shim.output().contains("sleeping")))?;
            ends_by_a_kill(shim)
        })
    })
}

#[test]
fn a_spec_that_would_move_processes_by_a_setting_is_refused() -> Result<()> {
    alone(|nest| {
        let path = format!("/{}/c1", nest.name());
        let refused =
            in_cgroup(nest, "sleep.wasm", &path, json!({"unified": {"cgroup.procs": "1"}}), |_| Ok(()));
        let message = format!("{:#}", refused.err().context("the container was created")?);
        ensure!(message.contains("cgroup.procs") && message.contains("linux.resources.unified"), "{message}");
        ensure!(!folder(&path).exists());
        Ok(())
    })
}

#[test]
fn a_container_without_limits_has_none() -> Result<()> {
    alone(|nest| {
        let path = format!("/{}/c1", nest.name());
        in_cgroup(nest, "sleep.wasm", &path, json!({}), |shim| {
            for file in ["memory.max", "pids.max"] {
                assert_eq!(read(&path, file)?, "max", "{file}");
            }
            assert_eq!(read(&path, "cpu.max")?, "max 100000");
            assert_eq!(read(&path, "cpu.weight")?, "39");
            ends_by_a_kill(shim)
        })
    })
}

#[test]
fn the_controllers_reach_a_pods_container_and_its_pods_folders_stay() -> Result<()> {
    alone(|nest| {
        // As the kubelet's cgroupfs driver lays them out; it removes the pod's folders itself.
        let pod = format!("/{}/burstable/pod1", nest.name());
        let path = format!("{pod}/c1");
        in_cgroup(nest, "sleep.wasm", &path, json!({"memory": {"limit": 128 * MIB}}), |shim| {
            for above in [format!("/{}", nest.name()), format!("/{}/burstable", nest.name()), pod.clone()] {
                let passed_down = read(&above, "cgroup.subtree_control")?;
                for name in ["cpu", "memory", "pids"] {
                    ensure!(passed_down.split(' ').any(|other| other == name), "{above}: {passed_down}");
                }
            }
            assert_eq!(read(&path, "memory.max")?, (128 * MIB).to_string());
            ends_by_a_kill(shim)
        })?;
        ensure!(!folder(&path).exists() && folder(&pod).exists());
        fs::remove_dir(folder(&pod))?;
        fs::remove_dir(folder(&format!("/{}/burstable", nest.name())))?;
        Ok(fs::remove_dir(folder(nest.name()))?)
    })
}

#[test]
fn stats_are_of_the_second_type_with_figures_of_the_cgroup() -> Result<()> {
    alone(|nest| {
        let path = format!("/{}/c1", nest.name());
        let resources = json!({"memory": {"limit": 256 * MIB}, "pids": {"limit": 99}});
        in_cgroup(nest, "spin.wasm", &path, resources, |shim| {
            shim.start()?;
            eventually("it spins", 60, || Ok(shim.output().contains("spinning")))?;
            let request = StatsRequest { id: "c1".into(), ..StatsRequest::default() };
            let answer: StatsResponse = shim.call("Stats", &request)?;
            assert_eq!(answer.stats.type_url, "io.containerd.cgroups.v2.Metrics");
            let metrics = Metrics::parse_from_bytes(&answer.stats.value)?;
            let (memory, cpu) = (&metrics.memory, &metrics.cpu);
            assert_eq!((memory.usage_limit, metrics.pids.limit), (256 * MIB, 99));
            ensure!(
                (MIB..256 * MIB).contains(&memory.usage) && memory.max_usage >= memory.usage,
                "{memory:?}"
            );
            ensure!(memory.anon > 0 && memory.anon <= memory.usage && memory.pgfault > 0, "{memory:?}");
            ensure!(cpu.usage_usec > 0 && cpu.usage_usec >= cpu.user_usec, "{cpu:?}");
            ensure!((1..99).contains(&metrics.pids.current), "{:?}", metrics.pids);
            let before = cpu.usage_usec;
            eventually("it has used more", 30, || {
                let answer: StatsResponse = shim.call("Stats", &request)?;
                Ok(Metrics::parse_from_bytes(&answer.stats.value)?.cpu.usage_usec > before)
            })?;
            ends_by_a_kill(shim)
        })
    })
}

testkit::stories! {
    fn a_host_that_the_kernel_kills_for_want_of_memory_is_137_and_an_oom(daemon) {
        let events = daemon.events()?;
        let hog = daemon.run("memory-hog.wasm").id("hog").memory(256 * MIB).args(["64", "3600"]);
        let mut hog = hog.spawn()?;
        hog.says("done")?;
        // Below what it holds: the kernel has no choice.
        fs::write(folder(daemon.nest().name()).join("hog/memory.max"), (8 * MIB).to_string())?;
        assert_eq!(hog.outcome()?.code, 137);
        events.wait_for("hog", "/tasks/delete")?;
        let told = events.of_task("hog");
        assert_eq!(told, ["/tasks/create", "/tasks/start", "/tasks/oom", "/tasks/exit", "/tasks/delete"]);
    }
}
