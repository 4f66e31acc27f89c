//! Several containers in one pod.

use anyhow::Context;
use rustix::process::Signal;
use testkit::{eventually, mode, refusal};

/// What the kernel lets a process run on, and where its memory may be.
fn bound_to(pid: i32) -> anyhow::Result<(String, String)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let of = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
        line.trim_start_matches(':').trim().to_owned()
    };
    Ok((of("Cpus_allowed_list"), of("Mems_allowed_list")))
}

/// How many processes there are for so many pods, or containers: those of shared mode have one for all.
fn processes(count: usize) -> usize {
    if mode::is_shared() { count.min(1) } else { count }
}

testkit::pod_stories! {
    fn a_container_keeps_to_the_processors_that_kubelets_static_manager_gives_it(node) {
        if mode::is_shared() {
            // A host of many runs where all of them may: that is said.
            let pod = node.pod("bound").run()?;
            let container = pod.guest("app", "hello.wasm")?.cpuset("0", "").start()?;
            assert_eq!(container.end()?.exit_code, 0);
            let sentence = "linux.resources.cpu.cpus of the spec is without effect";
            eventually("it is said", 30, || Ok(node.containerd().log().contains(sentence)))?;
            return pod.remove();
        }
        let pod = node.pod("bound").run()?;
        let all = bound_to(node.shims()?.first().context("no shim")?.pid)?.0;
        for cpus in ["0", "1", ""] {
            let mems = if cpus.is_empty() { "" } else { "0" };
            let container = pod.guest(&format!("on{cpus}"), "sleep.wasm")?.cpuset(cpus, mems).start()?;
            container.says("sleeping")?;
            let host = node.hosts()?.first().context("no host")?.pid;
            let wanted = if cpus.is_empty() { all.as_str() } else { cpus };
            assert_eq!(bound_to(host)?, (wanted.to_owned(), "0".to_owned()));
            container.stop(0)?;
            container.end()?;
        }
        let refused = refusal(pod.guest("beyond", "hello.wasm")?.cpuset("4095", "").start())?;
        assert!(refused.contains("cpuset.cpus") && refused.contains("4095"), "{refused}");
        pod.remove()?;
    }

    fn containers_of_a_pod_share_a_shim_and_each_has_a_host(node) {
        let pod = node.pod("several").run()?;
        assert_eq!(node.shims()?.len(), 1, "a pod without containers has a shim and no host");
        assert_eq!(node.hosts()?.len(), 0);
        let (first, second) = (pod.guest("first", "ticker.wasm")?.start()?, pod.guest("second", "ticker.wasm")?.start()?);
        let third = pod.guest("third", "args.wasm")?.args(["alone"]).start()?;
        first.says("tick 1\n")?;
        second.says("tick 1\n")?;
        assert_eq!(third.end()?.exit_code, 0);
        assert_eq!(third.output("stdout")?, "arg[0]=/args.wasm\narg[1]=alone\n", "logs are apart");

        let (shims, hosts) = (node.shims()?, node.hosts()?);
        assert_eq!((shims.len(), hosts.len()), (1, processes(2)), "{shims:?} {hosts:?}");

        first.stop(30)?;
        assert_eq!(first.end()?.exit_code, 143);
        let ticks = second.output("stdout")?.lines().count();
        eventually("the second ticks on", 30, || Ok(second.output("stdout")?.lines().count() > ticks + 3))?;
        let (shims, hosts) = (node.shims()?, node.hosts()?);
        assert_eq!((shims.len(), hosts.len()), (1, 1), "{shims:?} {hosts:?}");

        second.stop(0)?;
        assert_eq!(second.end()?.exit_code, 137);
        assert!(pod.is_ready()?, "a pod outlives its containers");
        pod.remove()?;
        eventually("the shim goes with its pod", 30, || Ok(node.shims()?.is_empty()))?;
    }

    fn a_host_that_crashes_takes_no_other_with_it(node) {
        let pod = node.pod("crash").run()?;
        let (victim, witness) =
            (pod.guest("victim", "ticker.wasm")?.user(1001, 1001, &[]).start()?, pod.guest("witness", "ticker.wasm")?.user(1002, 1002, &[]).start()?);
        victim.says("tick 1\n")?;
        witness.says("tick 1\n")?;
        for host in node.hosts()?.iter().filter(|host| host.uid == 1001) {
            node.nest().end(host, Signal::KILL)?;
        }
        let end = victim.end()?;
        assert_eq!((end.exit_code, end.reason.as_str()), (139, "Error"), "{end:?}");
        assert!(victim.termination_message()?.contains("host"), "{:?}", victim.termination_message()?);
        let ticks = witness.output("stdout")?.lines().count();
        eventually("the witness ticks on", 30, || Ok(witness.output("stdout")?.lines().count() > ticks + 3))?;
        pod.remove()?;
    }

    fn each_pod_has_a_shim_of_its_own_unless_all_share_a_manager(node) {
        let (one, other) = (node.pod("one").run()?, node.pod("other").run()?);
        let (ticker, witness) = (one.guest("app", "ticker.wasm")?.start()?, other.guest("app", "ticker.wasm")?.start()?);
        ticker.says("tick 1\n")?;
        assert_eq!(node.shims()?.len(), processes(2));
        one.remove()?;
        let ticks = witness.output("stdout")?.lines().count();
        eventually("the other ticks on", 30, || Ok(witness.output("stdout")?.lines().count() > ticks + 3))?;
        eventually("its shim goes", 30, || Ok(node.shims()?.len() == 1))?;
        other.remove()?;
    }

    fn a_container_is_made_again_in_a_pod_that_lives_on(node) {
        let pod = node.pod("again").run()?;
        for attempt in 0..3u32 {
            let container = pod.guest("app", "hello.wasm")?.attempt(attempt).start()?;
            assert_eq!(container.end()?.exit_code, 0);
            container.remove()?;
        }
        pod.remove()?;
    }
}
