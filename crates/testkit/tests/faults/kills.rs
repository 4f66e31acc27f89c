//! kill -9 of the shim, of a host and of the compiler, at every step of a life.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use testkit::{Bundle, Generation, Nest, Process, alone, eventually, until};

use super::{runs, works};

/// The one process of the nest whose command line has this word.
fn find(nest: &Nest, word: &str) -> Result<Option<Process>> {
    Ok(nest.processes()?.into_iter().find(|process| process.command_line.split(' ').any(|part| part == word)))
}

/// Kills that process, and waits until it is reaped: as a zombie it may have threads that still hold its files.
fn kill(nest: &Nest, word: &str) -> Result<()> {
    let process = until(&format!("there is a process {word}"), 30, || find(nest, word))?;
    nest.end(&process, Signal::KILL)?;
    let place = format!("/proc/{}", process.pid);
    eventually("it is reaped", 30, || Ok(!std::path::Path::new(&place).exists()))
}

#[test]
fn a_host_that_is_killed_before_the_start_ends_its_container() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "struck", "hello.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        shim.create()?;
        kill(nest, "host")?;
        assert_eq!(shim.wait()?, 139);
        ensure!(shim.output().contains("signal 9"), "{}", shim.output());
        shim.delete()?;
        shim.shutdown()?;
        works(nest, "struck")
    })
}

#[test]
fn a_host_that_is_killed_ends_its_container_with_139_and_says_so() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "struck", "spin.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        shim.create()?;
        shim.start()?;
        eventually("it spins", 30, || Ok(shim.output().contains("spinning")))?;
        kill(nest, "host")?;
        assert_eq!(shim.wait()?, 139);
        ensure!(shim.output().contains("signal 9"), "{}", shim.output());
        assert_eq!(shim.delete()?, 139);
        shim.shutdown()?;
        works(nest, "struck")
    })
}

#[test]
fn a_compiler_that_is_killed_fails_the_create_and_leaves_no_half_of_an_entry() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "struck", "hello-js.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        let created = std::thread::scope(|scope| {
            let create = scope.spawn(|| shim.create());
            kill(nest, "compile")?;
            create.join().map_err(|_| anyhow::anyhow!("a panic"))
        })?;
        let message = created.err().context("the container was created")?.to_string();
        ensure!(message.contains("compiler") && message.contains("signal 9"), "{message}");
        shim.shutdown()?;
        works(nest, "struck")?;
        let cache = std::fs::read_dir(nest.see("/var/lib/run-wasm/aot"))?.filter_map(Result::ok);
        let entries =
            cache.filter(|entry| entry.path().extension().is_some_and(|ext| ext == "cwasm")).count();
        assert_eq!(entries, 1);
        Ok(())
    })
}

/// Kills the shim, then has it clean up as containerd does: by the `delete` of a fresh process.
fn kill_and_delete(nest: &Nest, bundle: &Bundle<'_>) -> Result<()> {
    kill(nest, "-id")?;
    let delete = bundle.call("delete")?;
    ensure!(delete.code == 0, "{delete}");
    std::fs::remove_dir_all(bundle.path())?;
    works(nest, bundle.id())
}

#[test]
fn a_shim_that_is_killed_before_the_create_leaves_nothing() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "orphan", "spin.wasm")?;
        let _shim = bundle.shim(Generation::V3)?;
        kill_and_delete(nest, &bundle)
    })
}

#[test]
fn a_shim_that_is_killed_before_the_start_leaves_nothing() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "orphan", "spin.wasm")?;
        bundle.shim(Generation::V3)?.create()?;
        kill_and_delete(nest, &bundle)
    })
}

#[test]
fn a_shim_that_is_killed_while_its_guest_runs_leaves_nothing() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "orphan", "spin.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        shim.create()?;
        shim.start()?;
        eventually("it spins", 30, || Ok(shim.output().contains("spinning")))?;
        kill_and_delete(nest, &bundle)
    })
}

#[test]
fn a_shim_that_is_killed_after_the_end_leaves_nothing() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "orphan", "hello.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        shim.create()?;
        shim.start()?;
        assert_eq!(shim.wait()?, 0);
        kill_and_delete(nest, &bundle)
    })
}

#[test]
fn a_shim_that_is_killed_while_it_compiles_leaves_nothing() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "orphan", "hello-js.wasm")?;
        let shim = bundle.shim(Generation::V3)?;
        std::thread::scope(|scope| {
            scope.spawn(|| shim.create());
            until("it compiles", 30, || find(nest, "compile"))?;
            kill_and_delete(nest, &bundle)
        })
    })
}

/// containerd removes the bundle of a shim that it could not reach, and calls no `delete`.
#[test]
fn a_shim_that_is_killed_before_containerd_has_reached_it_is_cleared_away_by_the_next_to_end() -> Result<()> {
    alone(|nest| {
        let bundle = Bundle::of(nest, "unknown", "spin.wasm")?;
        let _shim = bundle.shim(Generation::V3)?;
        kill(nest, "-id")?;
        std::fs::remove_dir_all(bundle.path())?;
        ensure!(!nest.leftovers()?.is_empty(), "it had no socket");
        runs(nest, "another")
    })
}

testkit::stories! {
    fn containerd_cleans_up_after_a_shim_that_is_killed(daemon) {
        let events = daemon.events()?;
        let id = daemon.run("ticker.wasm").detach(&daemon.nest().folder().join("log"))?;
        kill(daemon.nest(), "-id")?;
        events.wait_for(&id, "/tasks/delete")?;
        assert!(events.of_task(&id).contains(&"/tasks/exit".to_owned()));
        drop(events);
        daemon.ctr(["container", "delete", &id])?.success()?;
        daemon.nest().assert_clean()?;
        assert_eq!(daemon.run("hello.wasm").id(&id).outcome()?.stdout, "hello from run-wasm\n");
    }

    fn a_host_that_is_killed_is_139_to_containerd(daemon) {
        let mut sleep = daemon.run("sleep.wasm").id("struck").spawn()?;
        sleep.says("sleeping")?;
        kill(daemon.nest(), "host")?;
        let end = sleep.outcome()?;
        assert!(end.code == 139 && end.stderr.contains("signal 9"), "{end}");
        assert_eq!(daemon.run("hello.wasm").id("struck").outcome()?.stdout, "hello from run-wasm\n");
    }
}
