//! What `run-wasm` tells on a node: `ps`, `top`, `inspect`, `debug`, about real containers.
#![allow(clippy::indexing_slicing, reason = "what a JSON value has not, it has as null")]

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use testkit::{Containerd, eventually, mode};

/// stdout of `run-wasm` with these words, in the nest.
fn told(daemon: &Containerd, words: &[&str]) -> Result<String> {
    let program = testkit::shim_binary()?.with_file_name("run-wasm");
    let output = daemon.nest().command(program).args(words).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn json(daemon: &Containerd, words: &[&str]) -> Result<Value> {
    Ok(serde_json::from_str(&told(daemon, &[words, &["--output", "json"]].concat())?)?)
}

/// The one of a list that is about this container.
fn of(list: &Value, id: &str) -> Result<Value> {
    let found = list.as_array().and_then(|all| all.iter().find(|row| row["id"] == id));
    found.cloned().with_context(|| format!("{id} is not in {list}"))
}

/// Whether a line of a table begins so and has a later word.
fn has_line(table: &str, name: &str, word: &str) -> bool {
    table.lines().any(|line| line.starts_with(name) && line.contains(word))
}

testkit::stories! {
    fn ps_tells_an_ended_container_from_one_that_runs(daemon) {
        let log = daemon.nest().folder().join("log");
        let ended = daemon.run("hello.wasm").id("ended").detach(&log)?;
        let mut running = daemon.run("sleep.wasm").id("running").spawn()?;
        running.says("sleeping")?;
        eventually("it has ended", 30, || Ok(daemon.status(&ended)?.as_deref() == Some("STOPPED")))?;
        let list = json(daemon, &["ps"])?;
        assert_eq!(of(&list, "ended")?["status"], "stopped");
        assert_eq!(of(&list, "running")?["status"], "running");
        let table = told(daemon, &["ps"])?;
        assert!(table.lines().count() == 3 && table.contains("stopped") && table.contains("running"), "{table}");
        daemon.delete(&ended)?;
        running.kill("SIGKILL")?;
        running.outcome()?;
        assert_eq!(json(daemon, &["ps"])?, Value::Array(Vec::new()));
    }

    fn top_shows_who_computes_and_who_has_memory(daemon) {
        let mut spin = daemon.run("spin.wasm").id("spin").spawn()?;
        let mut hog = daemon.run("memory-hog.wasm").id("hog").memory(256 << 20).args(["64", "3600"]).spawn()?;
        spin.says("spinning")?;
        hog.says("done")?;
        let mut list = Value::Null;
        // A guest may be without a processor for as long as it is looked at.
        eventually("one computes and one does not", 30, || {
            list = json(daemon, &["top", "--interval", "0.5"])?;
            let percent = |id: &str| anyhow::Ok(of(&list, id)?["cpu_percent"].as_f64());
            Ok(percent("spin")? > Some(10.0) && percent("hog")? < Some(10.0))
        })?;
        let large = of(&list, "hog")?;
        assert!(large["memory_bytes"].as_u64() > Some(64 << 20), "{list}");
        assert_eq!(large["memory_limit_bytes"], 256 << 20, "{list}");
        eventually("whoever computes most stands first", 30, || {
            let table = told(daemon, &["top", "--interval", "0.5"])?;
            Ok(table.lines().nth(1).unwrap_or_default().contains("spin") && table.contains("256.0MiB"))
        })?;
        for running in [&mut spin, &mut hog] {
            running.kill("SIGKILL")?;
            running.outcome()?;
        }
    }

    fn inspect_shows_what_a_container_is_and_was_given(daemon) {
        let mut sleep = daemon.run("sleep.wasm").id("inspected").memory(64 << 20).spawn()?;
        sleep.says("sleeping")?;
        let text = told(daemon, &["inspect", "inspe"])?;
        let mode = if mode::is_shared() { "shared" } else { "normal" };
        for (name, word) in [
            ("id ", "inspected"),
            ("image ", "localhost/sleep.wasm:1"),
            ("code ", "sha256:"),
            ("mode ", mode),
            ("status ", "running"),
            ("memory ", "64MiB"),
            ("egress ", "closed"),
        ] {
            assert!(has_line(&text, name, word), "{name}{word} is not in\n{text}");
        }
        let object = json(daemon, &["inspect", "inspected"])?;
        let hosts = daemon.nest().hosts()?;
        assert!(object["host"]["pid"].as_u64().is_some() && hosts.len() == 1, "{object}");
        // A container that shares its host has no cgroup of its own.
        assert_eq!(object["cgroups"].as_array().is_some_and(|all| !all.is_empty()), !mode::is_shared(), "{object}");
        assert!(object["grants"].as_str().is_some_and(|grants| grants.contains("memory     64MiB")), "{object}");
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn debug_shows_state_log_denied_calls_sockets_and_threads(daemon) {
        let run = daemon.run("sockets.wasm").id("looked-into").host_network().annotation("run.wasm/listen", "8080/tcp");
        let mut server = run.args(["accept", "127.0.0.1:8080"]).spawn()?;
        server.says("ok listening")?;
        let object = json(daemon, &["debug", "looked-into"])?;
        assert_eq!(object["status"], "running", "{object}");
        let lines: Vec<&str> = object["lines"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(lines.iter().any(|line| line.contains("granted: entry /sockets.wasm")), "{object}");
        assert!(lines.iter().all(|line| line.contains("container=looked-into")), "{object}");
        assert!(object["threads"].as_array().is_some_and(|threads| threads.len() >= 2), "{object}");
        if !mode::is_shared() {
            let sockets = &object["sockets"];
            assert!(sockets[0]["local"] == "127.0.0.1:8080" && sockets[0]["state"] == "listen", "{object}");
        }
        assert_eq!(object["unknown"], Value::Array(Vec::new()), "{object}");
        let text = told(daemon, &["debug", "looked-into"])?;
        assert!(text.contains("\nlog:\n") && text.contains("\nthreads of the host:\nTHREAD"), "{text}");
        server.kill("SIGKILL")?;
        server.outcome()?;

        let log = daemon.nest().folder().join("log");
        let denied = daemon.run("sockets.wasm").id("denied").host_network().annotation("run.wasm/egress", "10.0.0.1:443");
        let denied = denied.args(["connect", "127.0.0.1:80"]).detach(&log)?;
        eventually("it has ended", 30, || Ok(daemon.status(&denied)?.as_deref() == Some("STOPPED")))?;
        let object = json(daemon, &["debug", "denied"])?;
        assert_eq!((&object["status"], &object["denied"]["connect"]), (&"stopped".into(), &1.into()), "{object}");
        assert!(object["lines"].to_string().contains("connect to 127.0.0.1:80/tcp denied"), "{object}");
        daemon.delete(&denied)?;
    }

    fn a_container_takes_few_lines_of_the_log(daemon) {
        let log = daemon.nest().folder().join("log");
        for (id, file) in [("quiet", "hello.wasm"), ("trapping", "trap.wasm")] {
            daemon.run(file).id(id).detach(&log)?;
            eventually("it has ended", 30, || Ok(daemon.status(id)?.as_deref() == Some("STOPPED")))?;
            let sum = format!("container={id} code=");
            eventually("its end is logged", 30, || Ok(daemon.log().contains(&sum)))?;
            daemon.delete(id)?;
            let text = daemon.log();
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(&format!("container={id}"))).collect();
            assert!((2..=5).contains(&lines.len()), "{lines:#?}");
            let namespace = format!("namespace={}", daemon.nest().name());
            assert!(lines.iter().all(|line| line.contains("level=info") && line.contains(&namespace)), "{lines:#?}");
        }
    }

    fn a_node_chooses_json_for_its_log(daemon) {
        let log = daemon.nest().folder().join("log");
        let run = daemon.run("trap.wasm").id("json").config("[observe]\nlog = \"json\"\n");
        run.detach(&log)?;
        eventually("its end is logged as JSON", 30, || {
            let text = daemon.log();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            Ok(lines.into_iter().any(|line| {
                line["msg"] == "ended" && line["container"] == "json" && line["code"] == 134
                    && line["reason"].as_str().is_some_and(|reason| reason.contains("unreachable"))
            }))
        })?;
        eventually("it has stopped", 30, || Ok(daemon.status("json")?.as_deref() == Some("STOPPED")))?;
        daemon.delete("json")?;
    }
}
