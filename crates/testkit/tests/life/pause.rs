//! A container that stands still: nothing of it runs, and nothing of it is lost.

use std::time::Duration;

use testkit::{Containerd, Running, eventually};

fn pause(daemon: &Containerd, running: &Running<'_>) -> anyhow::Result<()> {
    daemon.ctr(["task", "pause", running.id()])?.success()?;
    assert_eq!(daemon.status(running.id())?.as_deref(), Some("PAUSED"));
    Ok(())
}

fn resume(daemon: &Containerd, running: &Running<'_>) -> anyhow::Result<()> {
    daemon.ctr(["task", "resume", running.id()])?.success()?;
    assert_eq!(daemon.status(running.id())?.as_deref(), Some("RUNNING"));
    Ok(())
}

testkit::stories! {
    fn a_paused_guest_stands_still_until_it_is_resumed(daemon) {
        for file in ["ticker.wasm", "ticker.p1.wasm"] {
            let mut ticker = daemon.run(file).spawn()?;
            ticker.says("tick 2\n")?;
            let ticks = || ticker.stdout().lines().count();
            pause(daemon, &ticker)?;
            // What it has said before may still be on its way.
            let mut then = 0;
            eventually(&format!("{file} stands still for a second"), 30, || {
                let before = ticks();
                std::thread::sleep(Duration::from_secs(1));
                then = ticks();
                Ok(then == before)
            })?;
            resume(daemon, &ticker)?;
            eventually("it ticks on", 30, || Ok(ticks() > then + 2))?;
            ticker.kill("SIGTERM")?;
            assert_eq!(ticker.outcome()?.code, 143);
        }
    }

    fn a_paused_guest_that_never_waits_uses_no_processor(daemon) {
        for file in ["spin.wasm", "spin.p1.wasm", "spin.p3.wasm"] {
            let mut spin = daemon.run(file).spawn()?;
            spin.says("spinning")?;
            pause(daemon, &spin)?;
            let mut before = spin.cpu_time()?;
            eventually(&format!("{file} uses less than a tenth of a processor"), 30, || {
                before = spin.cpu_time()?;
                std::thread::sleep(Duration::from_millis(500));
                Ok(spin.cpu_time()? - before < Duration::from_millis(50))
            })?;
            resume(daemon, &spin)?;
            eventually("it spins on", 30, || Ok(spin.cpu_time()? > before + Duration::from_millis(100)))?;
            spin.kill("SIGKILL")?;
            assert_eq!(spin.outcome()?.code, 137);
        }
    }

    fn a_timer_that_runs_out_in_a_pause_is_heard_of_after_it(daemon) {
        for file in ["sleep.wasm", "sleep.p1.wasm", "sleep.p3.wasm"] {
            let mut sleep = daemon.run(file).args(["4"]).spawn()?;
            sleep.says("sleeping")?;
            pause(daemon, &sleep)?;
            std::thread::sleep(Duration::from_secs(5));
            assert_eq!(sleep.stdout(), "sleeping\n", "{file}");
            daemon.ctr(["task", "resume", sleep.id()])?.success()?;
            assert_eq!(sleep.outcome()?.success()?, "sleeping\nwoke\n");
        }
    }

    fn a_time_limit_that_runs_out_in_a_pause_ends_after_it(daemon) {
        let mut spin = daemon.run("spin.wasm").annotation("run.wasm/timeout", "6s").spawn()?;
        spin.says("spinning")?;
        pause(daemon, &spin)?;
        std::thread::sleep(Duration::from_secs(7));
        assert!(spin.ended()?.is_none());
        daemon.ctr(["task", "resume", spin.id()])?.success()?;
        assert_eq!(spin.outcome()?.code, 124);
    }

    fn a_paused_guest_can_be_killed(daemon) {
        for (signal, code) in [("SIGTERM", 143), ("SIGKILL", 137)] {
            let mut sleep = daemon.run("sleep.wasm").spawn()?;
            sleep.says("sleeping")?;
            pause(daemon, &sleep)?;
            sleep.kill(signal)?;
            assert_eq!(sleep.outcome()?.code, code);
        }
    }

    fn the_execs_of_a_paused_container_stand_still_too_and_no_other_starts(daemon) {
        let mut sleep = daemon.run("sleep.wasm").spawn()?;
        sleep.says("sleeping")?;
        let mut nap = daemon.exec(sleep.id()).args(["nap", "4"]).spawn()?;
        nap.says("sleeping")?;
        pause(daemon, &sleep)?;
        let refused = daemon.exec(sleep.id()).args(["nap", "0"]).outcome()?;
        assert!(refused.code != 0 && refused.stderr.contains("paused"), "{refused}");
        std::thread::sleep(Duration::from_secs(5));
        assert!(nap.ended()?.is_none());
        resume(daemon, &sleep)?;
        assert_eq!(nap.outcome()?.success()?, "sleeping\nwoke\n");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn a_pause_is_told_once_and_outlives_containerd(daemon) {
        let log = daemon.nest().folder().join("log");
        let id = daemon.run("sleep.wasm").detach(&log)?;
        let events = daemon.events()?;
        daemon.ctr(["task", "pause", &id])?.success()?;
        let twice = daemon.ctr(["task", "pause", &id])?;
        assert!(twice.code != 0 && twice.stderr.contains("paused already"), "{twice}");
        events.wait_for(&id, "/tasks/paused")?;
        drop(events);
        daemon.kill()?;
        daemon.begin()?;
        assert_eq!(daemon.status(&id)?.as_deref(), Some("PAUSED"));
        daemon.ctr(["task", "resume", &id])?.success()?;
        let twice = daemon.ctr(["task", "resume", &id])?;
        assert!(twice.code != 0 && twice.stderr.contains("not paused"), "{twice}");
        daemon.ctr(["task", "kill", "--signal", "SIGKILL", &id])?.success()?;
        eventually("it has stopped", 30, || Ok(daemon.status(&id)?.as_deref() == Some("STOPPED")))?;
        assert_eq!(daemon.delete(&id)?, 137);
    }
}
