//! Lives: signals, events, and a containerd that goes and comes back.

use testkit::eventually;

testkit::stories! {
    fn sigterm_ends_a_guest_with_143_and_sigkill_with_137(daemon) {
        for file in ["sleep.wasm", "sleep.p1.wasm", "sleep.p3.wasm"] {
            for (signal, code) in [("SIGTERM", 143), ("SIGKILL", 137)] {
                let mut sleep = daemon.run(file).spawn()?;
                sleep.says("sleeping")?;
                sleep.kill(signal)?;
                let end = sleep.outcome()?;
                assert_eq!(end.code, code, "{file} {signal} {end}");
            }
        }
    }

    fn a_guest_that_never_pauses_can_be_ended(daemon) {
        for file in ["spin.wasm", "spin.p1.wasm", "spin.p3.wasm"] {
            for (signal, code) in [("SIGTERM", 143), ("SIGKILL", 137)] {
                let mut spin = daemon.run(file).spawn()?;
                spin.says("spinning")?;
                spin.kill(signal)?;
                assert_eq!(spin.outcome()?.code, code, "{file} {signal}");
            }
        }
    }

    fn a_guest_that_loops_in_its_start_function_can_be_ended(daemon) {
        for file in ["start-loop.wasm", "start-loop.p1.wasm"] {
            let mut looping = daemon.run(file).spawn()?;
            eventually("it runs", 60, || Ok(daemon.status(looping.id())?.as_deref() == Some("RUNNING")))?;
            looping.kill("SIGTERM")?;
            assert_eq!(looping.outcome()?.code, 143, "{file}");
        }
    }

    fn a_signal_that_a_process_would_ignore_ends_nothing(daemon) {
        let mut ticker = daemon.run("ticker.wasm").spawn()?;
        ticker.says("tick 1\n")?;
        ticker.kill("SIGWINCH")?;
        let ticks = ticker.stdout().lines().count();
        eventually("it ticks on", 30, || Ok(ticker.stdout().lines().count() > ticks + 3))?;
        ticker.kill("SIGTERM")?;
        assert_eq!(ticker.outcome()?.code, 143);
    }

    fn events_are_told_in_order(daemon) {
        let events = daemon.events()?;
        daemon.run("hello.wasm").id("told").outcome()?.success()?;
        events.wait_for("told", "/tasks/delete")?;
        assert_eq!(events.of_task("told"), ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    }

    fn a_guest_outlives_its_containerd(daemon) {
        let log = daemon.nest().folder().join("log");
        let id = daemon.run("ticker.wasm").detach(&log)?;
        let ticks = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
        eventually("it ticks", 60, || Ok(ticks() > 0))?;
        daemon.kill()?;
        let before = ticks();
        eventually("it ticks on without containerd", 30, || Ok(ticks() > before + 2))?;
        daemon.begin()?;
        assert_eq!(daemon.status(&id)?.as_deref(), Some("RUNNING"));
        let events = daemon.events()?;
        daemon.ctr(["task", "kill", "--signal", "SIGTERM", &id])?.success()?;
        events.wait_for(&id, "/tasks/exit")?;
        eventually("it has stopped", 30, || Ok(daemon.status(&id)?.as_deref() == Some("STOPPED")))?;
        assert_eq!(daemon.delete(&id)?, 143);
    }

    fn an_end_without_containerd_is_told_when_it_is_back(daemon) {
        let log = daemon.nest().folder().join("log");
        let id = daemon.run("sleep.wasm").args(["2"]).detach(&log)?;
        daemon.kill()?;
        eventually("it has ended", 30, || Ok(std::fs::read_to_string(&log)?.contains("woke")))?;
        daemon.begin()?;
        eventually("it has stopped", 30, || Ok(daemon.status(&id)?.as_deref() == Some("STOPPED")))?;
        assert_eq!(daemon.delete(&id)?, 0);
    }
}
