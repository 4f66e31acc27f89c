//! Metrics and traces of shims, where the node's config asks for them.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use testkit::peers::{Collector, Span};
use testkit::{Containerd, eventually, mode};

/// The sockets with metrics.
fn sockets(daemon: &Containerd) -> Vec<PathBuf> {
    let folder = fs::read_dir(daemon.nest().see("/run/run-wasm/metrics"));
    folder.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The text at the only socket.
fn metrics(daemon: &Containerd) -> Result<String> {
    let sockets = sockets(daemon);
    let [socket] = sockets.as_slice() else { anyhow::bail!("not one socket: {sockets:?}") };
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, text) = answer.split_once("\r\n\r\n").context("half an answer")?;
    ensure!(head.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("# EOF\n"), "{answer}");
    Ok(text.to_owned())
}

/// The value of a line.
fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

testkit::stories! {
    fn metrics_of_a_shim_are_at_a_socket_of_roots_where_the_node_asks_for_it(daemon) {
        let run = |file: &str, id: &str| daemon.run(file).id(id).config("[observe]\nmetrics = \"all\"\n");
        let mut sleep = run("sleep.wasm", "sleeper").spawn()?;
        sleep.says("sleeping")?;
        let word = if mode::is_shared() { "shared" } else { "normal" };
        let text = metrics(daemon)?;
        for (name, least) in [
            (format!("run_wasm_containers{{mode=\"{word}\",state=\"running\"}}"), 1.0),
            (format!("run_wasm_creates_total{{mode=\"{word}\",result=\"created\"}}"), 1.0),
            ("run_wasm_stage_seconds_count{stage=\"create\"}".to_owned(), 1.0),
            ("run_wasm_stage_seconds_count{stage=\"instantiate\"}".to_owned(), 1.0),
            ("run_wasm_stage_seconds_count{stage=\"start\"}".to_owned(), 1.0),
            ("run_wasm_hosts ".to_owned(), 1.0),
            ("run_wasm_hosts_memory_bytes".to_owned(), 4096.0),
            ("run_wasm_shim_memory_bytes".to_owned(), 4096.0),
        ] {
            assert!(value(&text, &name) >= Some(least), "{name} in\n{text}");
        }
        let socket = sockets(daemon).pop().context("no socket")?;
        assert_eq!(fs::metadata(&socket)?.permissions().mode() & 0o777, 0o600);
        let folder = socket.parent().context("no folder")?;
        assert_eq!(fs::metadata(folder)?.permissions().mode() & 0o777, 0o700);
        if mode::is_shared() {
            // Of its ends, too: it lives on.
            run("trap.wasm", "trap").outcome()?;
            let denied = run("sockets.wasm", "denied").args(["connect", "127.0.0.1:80"]).outcome()?;
            assert_eq!(denied.code, 1, "{denied}");
            let text = metrics(daemon)?;
            assert_eq!(value(&text, "run_wasm_exits_total{class=\"trap\"}"), Some(1.0), "{text}");
            assert_eq!(value(&text, "run_wasm_denied_calls_total{kind=\"socket\"}"), Some(1.0), "{text}");
        }
        // Nonsense harms nobody; the shim may hang up before it has read all of it.
        drop(UnixStream::connect(&socket)?.write_all(&[b'x'; 20_000]));
        metrics(daemon)?;
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
        eventually("the socket goes with its shim", 30, || Ok(!socket.exists()))?;
    }

    fn a_shim_of_the_normal_mode_has_no_socket_unless_the_node_asks_for_it(daemon) {
        let mut sleep = daemon.run("sleep.wasm").spawn()?;
        sleep.says("sleeping")?;
        assert_eq!(sockets(daemon).len(), usize::from(mode::is_shared()));
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn create_and_start_of_a_container_are_traced_to_the_collector_that_the_node_names(daemon) {
        let collector = Collector::start(daemon.nest(), "127.0.0.1:0")?;
        let config = format!("[observe]\ntraces = \"{}\"\n", collector.endpoint());
        let run = |id: &str| daemon.run("hello.wasm").id(id).config(&config);
        // A short life, too.
        run("traced").outcome()?.success()?;
        let named = |name: &str| -> Option<Span> {
            collector.spans_of("traced").into_iter().find(|span| span.name == name)
        };
        eventually("all spans have come", 30, || Ok(named("start").is_some() && named("create").is_some()))?;
        let create = named("create").context("no create")?;
        for name in ["compile", "instantiate", "start"] {
            let span = named(name).with_context(|| format!("no {name}"))?;
            assert_eq!((&span.trace_id, &span.parent_span_id), (&create.trace_id, &create.span_id), "{name}");
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.error().is_empty(), "{span:?}");
        }
        assert!(create.parent_span_id.is_empty() && create.trace_id.len() == 16, "{create:?}");
        assert_eq!(create.attribute("containerd.namespace"), daemon.nest().name());
    }

    fn a_collector_that_is_not_there_delays_nobody(daemon) {
        let run = || daemon.run("hello.wasm").config("[observe]\ntraces = \"http://127.0.0.1:9\"\n");
        for _ in 0..3 {
            assert_eq!(run().outcome()?.stdout, "hello from run-wasm\n");
        }
    }
}
