//! What is counted of a server.

use testkit::metrics;

use crate::BOTH;
use crate::client::get;

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
}
