//! What is counted of a server.

use anyhow::Context;
use testkit::peers::Collector;
use testkit::{metrics, until};

use crate::BOTH;
use testkit::http::{get, say};

testkit::stories! {
    fn what_a_server_has_done_is_among_the_metrics_of_its_shim(daemon) {
        for file in BOTH {
            let run = daemon.run(file).id(file).host_network().config("[observe]\nmetrics = \"all\"\n");
            let mut server = run.spawn()?;
            for (path, status) in [("/hello", 200), ("/hello", 200), ("/trap", 500), ("/hello", 200)] {
                assert_eq!(get(daemon.nest(), path)?.status, status);
            }
            let text = metrics::text(daemon)?;
            let of = format!("container=\"{file}\",pod=\"\"");
            for (name, value) in [
                (format!("http_requests_total{{{of},code=\"200\"}}"), 3.0),
                (format!("http_requests_total{{{of},code=\"500\"}}"), 1.0),
                (format!("http_request_duration_seconds_count{{{of}}}"), 4.0),
                (format!("http_request_duration_seconds_bucket{{le=\"+Inf\",{of}}}"), 4.0),
                (format!("http_requests_in_flight{{{of}}}"), 0.0),
                (format!("http_instance_failures_total{{{of}}}"), 1.0),
            ] {
                assert_eq!(metrics::value(&text, &format!("run_wasm_{name}")), Some(value), "{name} in\n{text}");
            }
            server.kill("SIGTERM")?;
            assert_eq!(server.outcome()?.code, 0);
        }
    }

    fn what_a_server_does_for_a_request_is_part_of_its_clients_trace(daemon) {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        const CLIENT: &str = "00f067aa0ba902b7";
        let collector = Collector::start(daemon.nest(), "127.0.0.1:0")?;
        let config = format!("[observe]\ntraces = \"{}\"\n", collector.endpoint());
        for file in BOTH {
            let mut server = daemon.run(file).id(file).host_network().config(&config).spawn()?;
            let ask = |path: &str, flags: &str| {
                let trace = format!("traceparent: 00-{TRACE}-{CLIENT}-{flags}");
                say(daemon.nest(), &format!("GET {path} HTTP/1.1\r\nHost: a\r\n{trace}\r\nConnection: close\r\n\r\n"))
            };
            let seen = ask("/head", "01")?.body;
            assert_eq!(ask("/trap", "01")?.status, 500);
            let unsampled = ask("/head", "00")?.body;
            assert!(unsampled.contains(&format!("traceparent: 00-{TRACE}-{CLIENT}-00\n")), "{unsampled}");
            // What is still to be told then is told.
            server.kill("SIGTERM")?;
            assert_eq!(server.outcome()?.code, 0);
            let spans = until("both are told", 30, || {
                let spans = collector.spans_of(file).into_iter().filter(|span| hex(&span.trace_id) == TRACE);
                let spans: Vec<_> = spans.collect();
                Ok((spans.len() >= 2).then_some(spans))
            })?;
            let of = |path: &str| spans.iter().find(|span| span.attribute("url.path") == path);
            let (head, trap) = (of("/head").context("no head")?, of("/trap").context("no trap")?);
            let guests = format!("traceparent: 00-{TRACE}-{}-01\n", hex(&head.span_id));
            assert!(seen.contains(&guests), "the guest goes on with {guests}: {seen}");
            for (span, status) in [(head, 200), (trap, 500)] {
                assert_eq!((hex(&span.parent_span_id).as_str(), span.name.as_str()), (CLIENT, "GET"));
                assert_eq!(span.number("http.response.status_code"), status);
                assert!(span.end_time_unix_nano > span.start_time_unix_nano, "{span:?}");
            }
            assert_eq!(spans.len(), 2, "nothing of those that are not sampled: {spans:?}");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
