//! Limits, and what is told of what was used.

const MIB: u64 = 1 << 20;

testkit::stories! {
    fn a_guest_over_its_memory_limit_is_137_and_an_oom(daemon) {
        let events = daemon.events()?;
        for file in ["memory-hog.wasm", "memory-hog.p1.wasm", "memory-hog.p3.wasm"] {
            let id = file.replace('.', "-");
            let hog = daemon.run(file).id(&id).memory(64 * MIB).args(["256"]).outcome()?;
            assert_eq!(hog.code, 137, "{hog}");
            assert!(hog.stdout.contains("16 MiB") && !hog.stdout.contains("done"), "{hog}");
            assert!(hog.stderr.contains("memory"), "{hog}");
            events.wait_for(&id, "/tasks/delete")?;
            let told = events.of_task(&id);
            assert!(told.contains(&"/tasks/oom".to_owned()), "{told:?}");
        }
    }

    fn a_guest_within_its_memory_limit_is_left_alone(daemon) {
        let hog = daemon.run("memory-hog.wasm").memory(128 * MIB).args(["64"]).outcome()?;
        assert!(hog.code == 0 && hog.stdout.ends_with("done\n"), "{hog}");
    }

    fn figures_of_a_running_guest_are_of_the_nodes_own_kind(daemon) {
        let mut hog = daemon.run("memory-hog.wasm").id("measured").memory(256 * MIB).args(["64", "3600"]).spawn()?;
        hog.says("done")?;
        let metrics = daemon.ctr(["task", "metrics", "measured"])?.success()?;
        let usage = metrics.lines().find(|line| line.starts_with("memory.usage"));
        let usage = usage.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        assert!(usage.is_some_and(|bytes| (64 * MIB..256 * MIB).contains(&bytes)), "{metrics}");
        let processor = metrics.lines().find(|line| line.starts_with("cpu"));
        let processor = processor.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        assert!(processor.is_some_and(|used| used > 0), "{metrics}");
        hog.kill("SIGKILL")?;
        assert_eq!(hog.outcome()?.code, 137);
    }

    fn a_running_guest_has_processes_to_show(daemon) {
        let mut sleep = daemon.run("sleep.wasm").id("shown").spawn()?;
        sleep.says("sleeping")?;
        let table = daemon.ctr(["task", "ps", "shown"])?.success()?;
        let pid = table.lines().nth(1).and_then(|line| line.split_whitespace().next()?.parse::<i32>().ok());
        assert!(pid.is_some_and(|pid| pid > 1), "{table}");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }
}
