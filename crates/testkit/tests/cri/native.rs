//! Native containers beside Wasm in a pod, where the node's config lets them run.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::process::Signal;
use testkit::cri::{ContainerState, LinuxContainerResources};
use testkit::{Node, PodContainer, Process, eventually, refusal};

const MIB: i64 = 1 << 20;

/// The identity of a namespace, as the kernel tells it.
fn namespace(pid: i32, kind: &str) -> Result<String> {
    Ok(fs::read_link(format!("/proc/{pid}/ns/{kind}"))?.display().to_string())
}

/// What the container says its own namespaces are, by kind.
fn own_namespaces(container: &PodContainer) -> Result<Vec<(String, String)>> {
    let said = container.output("stdout")?;
    Ok(said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(kind, it)| (kind.to_owned(), it.to_owned()))
        .collect())
}

const TELL_NAMESPACES: &str = "for n in pid ipc uts net mnt; do echo $n $(busybox readlink /proc/self/ns/$n); done; echo told; sleep 3600";

/// That of `kind` among those that were told.
fn of<'a>(namespaces: &'a [(String, String)], kind: &str) -> &'a str {
    namespaces.iter().find(|(name, _)| name == kind).map_or("", |(_, it)| it)
}

fn ended(container: &PodContainer) -> Result<(i32, String)> {
    Ok((container.end()?.exit_code, container.output("stdout")?))
}

/// The processes that hold the namespaces of pods.
fn holders(node: &Node) -> Result<Vec<Process>> {
    Ok(node.nest().processes()?.into_iter().filter(|it| it.command_line.contains(" hold ")).collect())
}

testkit::pod_stories! {
    fn a_native_container_ends_with_its_own_code_and_its_log_is_whole(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("codes").native().run()?;
        for (name, script, code, reason) in [
            ("zero", "echo out; echo err >&2", 0, "Completed"),
            ("seven", "echo out; echo err >&2; exit 7", 7, "Error"),
        ] {
            let container = pod.container(name, &busybox).args([script]).start()?;
            let end = container.end()?;
            assert_eq!((end.exit_code, end.reason.as_str()), (code, reason), "{name} {end:?}");
            assert_eq!((container.output("stdout")?, container.output("stderr")?), ("out\n".into(), "err\n".into()));
        }
        let many = pod.container("many", &busybox).args(["busybox seq 100000"]).start()?;
        let (code, said) = ended(&many)?;
        assert_eq!((code, said.lines().count()), (0, 100_000));
        pod.remove()?;
    }

    fn signals_reach_it_and_what_does_not_listen_is_killed(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("signals").native().run()?;
        let polite = pod.container("polite", &busybox).args(["trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.1; done"]).start()?;
        polite.says("ready")?;
        polite.stop(30)?;
        assert_eq!(ended(&polite)?, (3, "ready\nbye\n".into()));
        let deaf = pod.container("deaf", &busybox).args(["trap '' TERM; echo ready; while :; do sleep 0.1; done"]).start()?;
        deaf.says("ready")?;
        deaf.stop(1)?;
        assert_eq!(deaf.end()?.exit_code, 137);
        let killed = pod.container("created", &busybox).args(["exit 0"]).create()?;
        killed.remove()?;
        pod.remove()?;
    }

    fn it_has_what_its_pod_says(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("spec").native().run()?;
        let container = pod.container("app", &busybox).env("COLOUR", "blue").working_dir("/tmp").user(1001, 1002, &[1003])
            .args(["echo $COLOUR $(busybox pwd) $(busybox id -u):$(busybox id -G) $(busybox hostname); echo x > /dev/stdout; echo x > /new 2>/dev/null || echo denied"]).start()?;
        assert_eq!(ended(&container)?, (0, "blue /tmp 1001:1002 1003 spec\nx\ndenied\n".into()));
        let read_only = pod.container("ro", &busybox).restricted().args(["echo x > /new"]).start()?;
        assert_eq!(read_only.end()?.exit_code, 1);
        let message = pod.container("last-words", &busybox).args(["echo -n farewell > /dev/termination-log; exit 4"]).start()?;
        assert_eq!(message.end()?.exit_code, 4);
        assert_eq!(message.termination_message()?, "farewell");
        pod.remove()?;
    }

    fn its_memory_limit_is_the_kernels_to_keep(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("memory").native().run()?;
        let container = pod.container("hog", &busybox).memory(16 * MIB).args(["busybox tail -c 64m /dev/zero"]).start()?;
        let end = container.end()?;
        assert_eq!(end.exit_code, 137, "{end:?}");
        container.is_oom_killed()?;
        let idle = pod.container("idle", &busybox).memory(64 * MIB).args(["echo up; sleep 3600"]).start()?;
        idle.says("up")?;
        let stats = idle.stats()?;
        let memory = stats.memory.and_then(|memory| memory.working_set_bytes).unwrap_or_default().value;
        assert!(memory > 0 && memory < (64 * MIB).unsigned_abs(), "{stats:?}");
        pod.remove()?;
    }

    fn wasm_and_native_containers_share_volumes(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("volumes").native().run()?;
        let volume = node.nest().folder().join("volume");
        fs::create_dir(&volume)?;
        let writer = pod.container("init", &busybox).mount(&volume, "/data", false).args(["echo from native > /data/note"]).start()?;
        assert_eq!(writer.end()?.exit_code, 0, "{:?}", writer.log()?);
        let reader = pod.guest("guest", "files.wasm")?.mount(&volume, "/data", false).args(["read", "/data/note"]).start()?;
        let (code, said) = ended(&reader)?;
        assert!(code == 0 && said.contains("from native"), "{code} {said}");
        pod.remove()?;
    }

    fn a_guest_is_reached_through_a_native_proxy_on_localhost(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("proxied").native().run()?;
        let server = pod.guest("server", "sockets.wasm")?.port(8080, "TCP").args(["accept", "127.0.0.1:8080"]).start()?;
        server.says("ok listening")?;
        let proxy = pod.container("proxy", &busybox).args(["nc -l -p 9000 -e nc 127.0.0.1 8080 & sleep 0.2; echo up; wait"]).start()?;
        proxy.says("up")?;
        let mut answer = None;
        eventually("the proxy listens", 30, || {
            answer = node.echo(&format!("{}:9000", pod.ip()?)).ok();
            Ok(answer.is_some())
        })?;
        assert_eq!(answer.as_deref(), Some("over and out"));
        assert_eq!(server.end()?.exit_code, 0);
        pod.remove()?;
    }

    fn it_is_in_its_pods_namespaces_and_in_none_of_the_nodes(node) {
        let busybox = node.busybox()?;
        let (pod, other) = (node.pod("one").native().run()?, node.pod("two").native().run()?);
        let first = pod.container("first", &busybox).args([TELL_NAMESPACES]).start()?;
        let second = pod.container("second", &busybox).args([TELL_NAMESPACES]).start()?;
        let stranger = other.container("stranger", &busybox).args([TELL_NAMESPACES]).start()?;
        for container in [&first, &second, &stranger] {
            container.says("told")?;
        }
        let told = [own_namespaces(&first)?, own_namespaces(&second)?, own_namespaces(&stranger)?];
        let (shim, me) = (node.shims()?.first().context("no shim")?.pid, std::process::id().cast_signed());
        for (kind, shared) in [("pid", false), ("ipc", true), ("uts", true), ("net", true), ("mnt", false)] {
            let [first, second, stranger] = told.each_ref().map(|namespaces| of(namespaces, kind));
            for own in [first, second, stranger] {
                assert!(!own.is_empty() && own != namespace(shim, kind)? && own != namespace(me, kind)?, "{kind}: {own}");
            }
            assert_eq!(first == second, shared, "{kind}");
            assert_ne!(first, stranger, "{kind}");
        }
        pod.remove()?;
        other.remove()?;
    }

    fn what_holds_a_pods_namespaces_has_no_privilege_and_ends_with_the_pod(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("held").native().sysctl("kernel.shm_rmid_forced", "1").sysctl("fs.mqueue.msg_max", "7").run()?;
        assert!(holders(node)?.is_empty(), "a pod without native containers needs none");
        let script = "busybox cat /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/msg_max; busybox hostname; sleep 3600";
        let container = pod.container("app", &busybox).args([script]).start()?;
        container.says("1\n7\nheld\n")?;
        let second = pod.container("second", &busybox).args(["true"]).start()?;
        assert_eq!(second.end()?.exit_code, 0);
        let holders_now = holders(node)?;
        let [holder] = holders_now.as_slice() else { anyhow::bail!("{holders_now:?}") };
        let status = fs::read_to_string(format!("/proc/{}/status", holder.pid))?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default();
        assert_eq!(field("Uid:"), "65534\t65534\t65534\t65534");
        assert_eq!((field("CapEff:"), field("CapBnd:"), field("NoNewPrivs:"), field("Seccomp:")), ("0000000000000000", "0000000000000000", "1", "2"));
        let shim = node.shims()?.first().context("no shim")?.pid;
        for kind in ["pid", "ipc", "uts", "net", "mnt"] {
            assert_ne!(namespace(holder.pid, kind)?, namespace(shim, kind)?, "{kind}");
        }
        pod.remove()?;
        eventually("it ends with the pod", 30, || Ok(holders(node)?.is_empty()))?;
    }

    fn containers_that_share_their_processes_see_each_other_and_nothing_else(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("together").native().share_processes().run()?;
        let first = pod.container("first", &busybox).args(["echo up; sleep 4321"]).start()?;
        first.says("up")?;
        let second = pod.container("second", &busybox).args([&format!("busybox ps -o pid,args; {TELL_NAMESPACES}")]).start()?;
        second.says("told")?;
        let list = second.output("stdout")?;
        assert!(list.contains("sleep 4321") && list.contains("hold"), "{list}");
        assert!(!list.contains("containerd-shim-run-v2 -namespace") && !list.contains("bash"), "{list}");
        let shim = node.shims()?.first().context("no shim")?.pid;
        assert_ne!(of(&own_namespaces(&second)?, "pid"), namespace(shim, "pid")?);
        // What it leaves behind ends with it, although its process namespace does not.
        let leaver = pod.container("leaver", &busybox).args(["(sleep 5555 &) ; echo left"]).start()?;
        assert_eq!(leaver.end()?.exit_code, 0);
        eventually("nothing stays of it", 30, || Ok(!node.nest().processes()?.iter().any(|it| it.command_line.contains("5555"))))?;
        assert_eq!(first.status()?.state(), ContainerState::Running);
        first.stop(0)?;
        assert_eq!(first.end()?.exit_code, 137);
        pod.remove()?;
    }

    fn a_debugger_sees_a_native_target_and_is_refused_a_wasm_one(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("debug").native().run()?;
        let target = pod.container("target", &busybox).args(["echo up; sleep 4321"]).start()?;
        let wasm = pod.guest("wasm", "sleep.wasm")?.start()?;
        target.says("up")?;
        wasm.says("sleeping")?;
        let debugger = pod.container("debugger", &busybox).target(&target).args(["busybox ps -o pid,args"]).start()?;
        let (code, list) = ended(&debugger)?;
        assert!(code == 0 && list.contains("sleep 4321"), "{code} {list}");
        let refused = refusal(pod.container("blind", &busybox).target(&wasm).args(["busybox ps"]).start())?;
        assert!(refused.contains("--target") && refused.contains("Wasm"), "{refused}");
        assert_eq!(target.status()?.state(), ContainerState::Running);
        pod.remove()?;
    }

    fn what_would_give_it_the_node_is_refused(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("privileged").native().privileged().run()?;
        let privileged = refusal(pod.container("privileged", &busybox).privileged().args(["true"]).start())?;
        assert!(privileged.contains("privileged"), "{privileged}");
        let capable = refusal(pod.container("capable", &busybox).capability("SYS_ADMIN").args(["true"]).start())?;
        assert!(capable.contains("CAP_SYS_ADMIN"), "{capable}");
        pod.remove()?;
        for (pod, word) in [(node.pod("pid").native().host_processes(), "hostPID"), (node.pod("ipc").native().host_ipc(), "hostIPC")] {
            let pod = pod.run()?;
            let refused = refusal(pod.container("app", &busybox).args(["true"]).start())?;
            assert!(refused.contains(word), "{refused}");
            pod.remove()?;
        }
    }

    fn the_nodes_network_is_had_where_the_pod_says_so(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("host").native().host_network().run()?;
        let container = pod.container("app", &busybox).args([TELL_NAMESPACES]).start()?;
        container.says("told")?;
        let shim = node.shims()?.first().context("no shim")?.pid;
        let told = own_namespaces(&container)?;
        assert_eq!(of(&told, "net"), namespace(shim, "net")?);
        for kind in ["pid", "ipc", "mnt"] {
            assert_ne!(of(&told, kind), namespace(shim, kind)?, "{kind}");
        }
        pod.remove()?;
    }

    fn native_containers_are_refused_where_the_node_does_not_allow_them(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("denied").run()?;
        let refused = refusal(pod.container("app", &busybox).args(["true"]).command(["/bin/sh", "-c"]).start())?;
        assert!(refused.contains("native program") && refused.contains("native = \"allow\""), "{refused}");
        pod.remove()?;
    }

    fn what_claims_to_be_wasm_never_runs_as_a_native_program(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("claims").native().run()?;
        let volume = node.nest().folder().join("volume");
        fs::create_dir(&volume)?;
        fs::copy(Path::new(&std::env::var("BUSYBOX_BIN")?).join("busybox"), volume.join("app.wasm"))?;
        for words in [["/data/app.wasm", "true"], ["/bin/busybox#run", "true"]] {
            let refused = refusal(pod.container("app", &busybox).mount(&volume, "/data", false).command(words).start());
            assert!(refused.is_ok(), "{words:?} ran");
        }
        let annotated = pod.container("app", &busybox).annotation("run.wasm/app.egress", "10.0.0.1:80").attempt(1).args(["true"]);
        let refused = refusal(annotated.start())?;
        assert!(refused.contains("run.wasm/app.egress") && refused.contains("native"), "{refused}");
        pod.remove()?;
    }

    fn what_the_runtime_cannot_do_is_told_in_one_sentence(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("errors").native().run()?;
        let volume = node.nest().folder().join("volume");
        fs::create_dir(&volume)?;
        let container = pod.container("app", &busybox).mount(&volume, "/bin/sh/below/a/file", false).args(["true"]);
        let refused = refusal(container.start())?;
        assert!(refused.contains("runc: ") && refused.contains("/bin/sh") && !refused.contains('\n'), "{refused}");
        let other = pod.container("other", &busybox).args(["exit 5"]).start()?;
        assert_eq!(other.end()?.exit_code, 5, "nothing stays in the way");
        pod.remove()?;
    }

    fn a_process_is_executed_in_it(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("exec").native().run()?;
        let container = pod.container("app", &busybox).env("COLOUR", "blue").user(1001, 1001, &[]).args(["echo up; sleep 3600"]).start()?;
        container.says("up")?;
        let said = container.exec(&["sh", "-c", "echo $COLOUR $(busybox id -u); echo err >&2; exit 9"], 60)?;
        assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (9, "blue 1001\n", "err\n"), "{said}");
        let list = container.exec(&["busybox", "ps", "-o", "args"], 60)?;
        assert!(list.stdout.contains("sleep 3600"), "{list}");
        let unknown = refusal(container.exec(&["/no/such/program"], 60))?;
        assert!(unknown.contains("/no/such/program"), "{unknown}");
        let late = refusal(container.exec(&["sleep", "3600"], 1))?;
        assert!(late.contains("timed out") || late.contains("deadline") || late.contains("timeout"), "{late}");
        eventually("a late one is ended", 30, || Ok(node.nest().processes()?.iter().filter(|it| it.command_line.contains("sleep 3600")).count() == 1))?;
        let tty = node.containerd().exec(container.id()).args(["busybox", "tty"]).in_terminal()?.stdout;
        assert!(tty.contains("/dev/pts/"), "{tty}");
        container.stop(0)?;
        assert_eq!(container.end()?.exit_code, 137);
        pod.remove()?;
    }

    fn it_stands_still_while_it_is_paused_and_can_be_killed_then(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("paused").native().run()?;
        let container = pod.container("app", &busybox).args(["i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"]).start()?;
        container.says("2\n")?;
        let lines = || Ok::<_, anyhow::Error>(container.output("stdout")?.lines().count());
        let daemon = node.containerd();
        daemon.ctr(["task", "pause", container.id()])?.success()?;
        assert_eq!(daemon.status(container.id())?.as_deref(), Some("PAUSED"));
        // What it has said before may still be on its way.
        let mut before = 0;
        eventually("it stands still for a second", 30, || {
            before = lines()?;
            std::thread::sleep(std::time::Duration::from_secs(1));
            Ok(lines()? == before)
        })?;
        daemon.ctr(["task", "resume", container.id()])?.success()?;
        eventually("it goes on", 30, || Ok(lines()? > before + 2))?;
        daemon.ctr(["task", "pause", container.id()])?.success()?;
        container.stop(0)?;
        assert_eq!(container.end()?.exit_code, 137);
        pod.remove()?;
    }

    fn its_memory_limit_changes_while_it_runs(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("resized").native().run()?;
        let script = "echo up; while [ ! -e /go ]; do sleep 0.05; done; busybox head -c 48m /dev/zero | busybox tail -c 48m | busybox wc -c";
        let container = pod.container("app", &busybox).memory(16 * MIB).args([script]).start()?;
        container.says("up")?;
        container.update(LinuxContainerResources { memory_limit_in_bytes: 256 * MIB, cpu_shares: 2, ..LinuxContainerResources::default() })?;
        assert_eq!(container.exec(&["sh", "-c", "> /go"], 60)?.code, 0);
        assert_eq!(ended(&container)?, (0, format!("up\n{}\n", 48 * MIB)));
        pod.remove()?;
    }

    fn a_restarted_containerd_finds_it_again(node) {
        let busybox = node.busybox()?;
        let pod = node.pod("survivor").native().run()?;
        let container = pod.container("app", &busybox).args(["i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"]).start()?;
        let ended = pod.container("ended", &busybox).args(["exit 7"]).start()?;
        container.says("2\n")?;
        assert_eq!(ended.end()?.exit_code, 7);
        node.containerd().kill()?;
        let known = container.output("stdout")?.lines().count();
        node.containerd().begin()?;
        eventually("CRI answers", 30, || Ok(pod.is_ready().unwrap_or(false)))?;
        assert_eq!(container.status()?.state(), ContainerState::Running);
        let before = container.output("stdout")?.lines().count();
        eventually("the log goes on", 30, || Ok(container.output("stdout")?.lines().count() > before + 3))?;
        container.lost_nothing(known, |number| number.to_string())?;
        assert_eq!(ended.status()?.exit_code, 7);
        container.stop(0)?;
        assert_eq!(container.end()?.exit_code, 137);
        pod.remove()?;
    }

    fn a_killed_shim_leaves_nothing_of_its_native_containers(node) {
        let busybox = node.busybox()?;
        for share in [false, true] {
            let pod = node.pod(if share { "sharing" } else { "lost" }).native();
            let pod = if share { pod.share_processes().run()? } else { pod.run()? };
            let container = pod.container("app", &busybox).args(["echo up; sleep 4321 & (sleep 5555 &); wait"]).start()?;
            let wasm = pod.guest("wasm", "ticker.wasm")?.start()?;
            container.says("up")?;
            wasm.says("tick 1\n")?;
            for shim in node.shims()? {
                node.nest().end(&shim, Signal::KILL)?;
            }
            for container in [&container, &wasm] {
                // Who tells CRI first, containerd that knows no more than that the shim is gone, or `delete`: nobody decides.
                let code = container.end()?.exit_code;
                assert!([137, 255].contains(&code), "{code}");
            }
            eventually("nothing runs on", 30, || {
                Ok(!node.nest().processes()?.iter().any(|it| it.command_line.contains("sleep") || it.command_line.contains(" hold ")))
            })?;
            eventually("the pod is not ready", 30, || Ok(!pod.is_ready()?))?;
            pod.remove_at_last()?;
        }
    }

    fn a_shim_that_is_killed_while_it_makes_a_native_container_leaves_nothing(node) {
        let busybox = node.busybox()?;
        for (number, delay) in [0, 10, 25, 50, 75, 100, 150].into_iter().enumerate() {
            let pod = node.pod(&format!("struck-{number}")).native().run()?;
            let container = pod.container("app", &busybox).args(["sleep 4321"]).create()?;
            let shims = node.shims()?;
            std::thread::scope(|scope| -> Result<()> {
                let start = scope.spawn(|| container.start());
                std::thread::sleep(std::time::Duration::from_millis(delay));
                for shim in shims {
                    node.nest().end(&shim, Signal::KILL)?;
                }
                // Made or not: what counts is what is left.
                drop(start.join());
                Ok(())
            })?;
            eventually("CRI hears of its end", 30, || Ok(container.status()?.state() == ContainerState::Exited))?;
            eventually("and of its pod's", 30, || Ok(!pod.is_ready()?))?;
            pod.remove_at_last()?;
            eventually("nothing runs on", 30, || Ok(!node.nest().processes()?.iter().any(|it| it.command_line.contains("4321") || it.command_line.contains("runc"))))?;
        }
    }
}
