//! How execs end, and what that is to their container.

use image::ImageBuilder;
use testkit::{Running, guest, until};

const MIB: u64 = 1 << 20;

fn sleeping<'a>(daemon: &'a testkit::Containerd, others: &[&str]) -> anyhow::Result<Running<'a>> {
    let files = std::iter::once(&"sleep.wasm").chain(others);
    let image = files
        .clone()
        .try_fold(ImageBuilder::new(), |image, file| anyhow::Ok(image.wasm(*file, guest(file)?)))?;
    let name = files.map(|file| file.replace('.', "-")).collect::<Vec<_>>().join("-");
    let run = daemon.run_image(&name, image, "/sleep.wasm").args(["3600"]);
    let mut sleep = run.memory(64 * MIB).spawn()?;
    sleep.says("sleeping")?;
    Ok(sleep)
}

testkit::stories! {
    fn an_exec_is_killed_alone(daemon) {
        let mut sleep = sleeping(daemon, &["spin.wasm", "spin.p1.wasm"])?;
        for (file, signal, code) in [("/spin.wasm", "SIGTERM", 143), ("/spin.p1.wasm", "SIGKILL", 137)] {
            let mut spin = daemon.exec(sleep.id()).args([file]).spawn()?;
            spin.says("spinning")?;
            let kill = ["task", "kill", "--signal", signal, "--exec-id", spin.id(), sleep.id()];
            daemon.ctr(kill)?.success()?;
            assert_eq!(spin.outcome()?.code, code, "{file}");
        }
        assert!(sleep.ended()?.is_none());
        sleep.kill("SIGTERM")?;
        assert_eq!(sleep.outcome()?.code, 143);
    }

    fn the_end_of_a_container_is_that_of_its_execs_and_is_told_after_theirs(daemon) {
        let events = daemon.events()?;
        let mut sleep = sleeping(daemon, &[])?;
        let mut nap = daemon.exec(sleep.id()).args(["nap", "3600"]).spawn()?;
        nap.says("sleeping")?;
        sleep.kill("SIGTERM")?;
        assert_eq!((sleep.outcome()?.code, nap.outcome()?.code), (143, 137));
        events.wait_for(sleep.id(), "/tasks/delete")?;
        let told = events.of_task(sleep.id());
        let wanted = ["create", "start", "exec-added", "exec-started", "exit", "exit", "delete"];
        assert_eq!(told, wanted.map(|topic| format!("/tasks/{topic}")));
        let exits = events.exits_of(sleep.id());
        assert_eq!(exits, [nap.id(), sleep.id()]);
    }

    fn a_trap_of_an_exec_is_told_and_ends_nothing_else(daemon) {
        let mut sleep = sleeping(daemon, &["trap.wasm", "trap.p1.wasm"])?;
        for file in ["/trap.wasm", "/trap.p1.wasm"] {
            let trap = daemon.exec(sleep.id()).args([file]).outcome()?;
            assert!(trap.code == 134 && trap.stderr.contains("unreachable"), "{file} {trap}");
        }
        assert!(sleep.ended()?.is_none() && sleep.stderr().is_empty());
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn an_exec_beyond_the_containers_memory_limit_is_ended_alone(daemon) {
        let events = daemon.events()?;
        let mut sleep = sleeping(daemon, &["memory-hog.wasm", "memory-hog.p1.wasm"])?;
        for file in ["/memory-hog.wasm", "/memory-hog.p1.wasm"] {
            let hog = daemon.exec(sleep.id()).args([file, "256"]).outcome()?;
            assert!(hog.code == 137 && hog.stderr.contains("memory limit of 64 MiB reached"), "{file} {hog}");
            let modest = daemon.exec(sleep.id()).args([file, "16"]).outcome()?;
            assert!(modest.code == 0 && modest.stdout.ends_with("done\n"), "{file} {modest}");
        }
        assert!(sleep.ended()?.is_none() && !events.of_task(sleep.id()).contains(&"/tasks/oom".to_owned()));
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn many_execs_at_once_leave_nothing_behind(daemon) {
        let mut sleep = sleeping(daemon, &["hello.wasm"])?;
        let id = sleep.id();
        std::thread::scope(|scope| {
            let execs: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| -> anyhow::Result<()> {
                    for _ in 0..5 {
                        let hello = daemon.exec(id).args(["/hello.wasm"]).outcome()?;
                        anyhow::ensure!(hello.stdout == "hello from run-wasm\n", "{hello}");
                    }
                    Ok(())
                }))
                .collect();
            execs.into_iter().try_for_each(|exec| exec.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
        })?;
        let table = daemon.ctr(["task", "ps", sleep.id()])?.success()?;
        assert_eq!(table.lines().count(), 2, "{table}");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn a_running_exec_is_among_the_containers_processes(daemon) {
        let mut sleep = sleeping(daemon, &[])?;
        let mut nap = daemon.exec(sleep.id()).id("napping").args(["nap", "3600"]).spawn()?;
        nap.says("sleeping")?;
        let table = daemon.ctr(["task", "ps", sleep.id()])?.success()?;
        assert!(table.lines().count() == 3 && table.contains("napping"), "{table}");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
        nap.outcome()?;
    }

    fn what_cannot_be_executed_is_refused_with_the_reason(daemon) {
        let mut sleep = sleeping(daemon, &["stderr.wasm"])?;
        let somebody = daemon.exec(sleep.id()).flag("--user=7:7").args(["nap", "0"]).outcome()?;
        assert!(somebody.code != 0 && somebody.stderr.contains("7:7"), "{somebody}");
        let mut nap = daemon.exec(sleep.id()).id("twice").args(["nap", "3600"]).spawn()?;
        nap.says("sleeping")?;
        let twice = daemon.exec(sleep.id()).id("twice").args(["nap", "0"]).outcome()?;
        assert!(twice.code != 0 && twice.stderr.contains("exists"), "{twice}");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
        nap.outcome()?;
        // Of one that nobody deletes the shim is asked.
        let log = daemon.nest().folder().join("ended.log");
        let id = daemon.run("sleep.wasm").args(["3600"]).detach(&log)?;
        daemon.ctr(["task", "kill", "--signal", "SIGKILL", &id])?.success()?;
        let gone = until("the task is gone", 60, || {
            let exec = daemon.exec(&id).args(["nap", "0"]).outcome()?;
            Ok((exec.code != 0).then_some(exec))
        })?;
        assert!(gone.stderr.contains(&id), "{gone}");
        assert_eq!(daemon.delete(&id)?, 137);
    }
}
