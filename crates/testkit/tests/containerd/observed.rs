//! Metrics and traces of shims, where the node's config asks for them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use anyhow::Context;
use testkit::peers::{Collector, Span};
use testkit::{eventually, metrics, mode, until};

testkit::stories! {
    fn metrics_of_a_shim_are_at_a_socket_of_roots_where_the_node_asks_for_it(daemon) {
        let run = |file: &str, id: &str| daemon.run(file).id(id).config("[observe]\nmetrics = \"all\"\n");
        let mut sleep = run("sleep.wasm", "sleeper").spawn()?;
        sleep.says("sleeping")?;
        let word = if mode::is_shared() { "shared" } else { "normal" };
        let text = metrics::text(daemon)?;
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
            assert!(metrics::value(&text, &name) >= Some(least), "{name} in\n{text}");
        }
        let socket = metrics::sockets(daemon).pop().context("no socket")?;
        assert_eq!(fs::metadata(&socket)?.permissions().mode() & 0o777, 0o600);
        let folder = socket.parent().context("no folder")?;
        assert_eq!(fs::metadata(folder)?.permissions().mode() & 0o777, 0o700);
        if mode::is_shared() {
            // Of its ends, too: it lives on.
            run("trap.wasm", "trap").outcome()?;
            let denied = run("sockets.wasm", "denied").args(["connect", "127.0.0.1:80"]).outcome()?;
            assert_eq!(denied.code, 1, "{denied}");
            let text = metrics::text(daemon)?;
            assert_eq!(metrics::value(&text, "run_wasm_exits_total{class=\"trap\"}"), Some(1.0), "{text}");
            assert_eq!(metrics::value(&text, "run_wasm_denied_calls_total{kind=\"socket\"}"), Some(1.0), "{text}");
        }
        // Nonsense harms nobody; the shim may hang up before it has read all of it.
        drop(UnixStream::connect(&socket)?.write_all(&[b'x'; 20_000]));
        metrics::text(daemon)?;
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
        eventually("the socket goes with its shim", 30, || Ok(!socket.exists()))?;
    }

    fn a_shim_of_the_normal_mode_has_no_socket_unless_the_node_asks_for_it(daemon) {
        let mut sleep = daemon.run("sleep.wasm").spawn()?;
        sleep.says("sleeping")?;
        assert_eq!(metrics::sockets(daemon).len(), usize::from(mode::is_shared()));
        sleep.kill("SIGKILL")?;
        sleep.outcome()?;
    }

    fn a_managers_metrics_are_at_the_address_that_the_node_names_as_well(daemon) {
        let config = "[observe]\nmetrics-address = \"127.0.0.1:9464\"\n";
        let mut sleep = daemon.run("sleep.wasm").id("sleeper").config(config).spawn()?;
        sleep.says("sleeping")?;
        match mode::is_shared() {
            true => {
                let text = until("metrics are told there", 30, || metrics::text_at(daemon, "127.0.0.1:9464"))?;
                let running = "run_wasm_containers{mode=\"shared\",state=\"running\"}";
                assert_eq!(metrics::value(&text, running), Some(1.0), "{text}");
            }
            // Of many shims none has more to say there than the others.
            false => assert_eq!(metrics::text_at(daemon, "127.0.0.1:9464")?, None),
        }
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
