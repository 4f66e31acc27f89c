//! What a guest is denied is counted, and the first of each kind is in the log with what would allow it. The guest hears
//! nothing of that.

use testkit::{Containerd, eventually};

/// The log, with quotes within values as they are meant.
fn unquoted(daemon: &Containerd) -> String {
    daemon.log().replace("\\\"", "\"")
}

/// Waits until the log has a line with all of these parts.
fn logged(daemon: &Containerd, parts: &[&str]) -> anyhow::Result<()> {
    eventually(&format!("a line of the log has {parts:?}"), 30, || {
        Ok(unquoted(daemon).lines().any(|line| parts.iter().all(|part| line.contains(part))))
    })
}

testkit::stories! {
    fn a_denied_connection_is_logged_with_the_annotation_that_would_allow_it(daemon) {
        let run = daemon.run("sockets.wasm").id("caller").host_network().annotation("run.wasm/egress", "10.0.0.1:443");
        let denied = run.args(["connect", "127.0.0.1:80"]).outcome()?;
        assert!(denied.stdout.starts_with("error: PermissionDenied"), "{denied}");
        assert!(!format!("{denied}").contains("run.wasm"), "{denied}");
        let sentence = r#"connect to 127.0.0.1:80/tcp denied: run.wasm/egress: "127.0.0.1:80" allows it"#;
        logged(daemon, &["level=warning", sentence, "container=caller"])?;
        logged(daemon, &["denied calls: connect 1", "caller"])?;
        assert_eq!(unquoted(daemon).matches(sentence).count(), 1);
    }

    fn a_denied_port_is_logged_with_the_annotation_that_would_allow_it(daemon) {
        let run = || daemon.run("sockets.wasm").host_network().annotation("run.wasm/listen", "8080/tcp");
        run().args(["listen", "127.0.0.1:8081"]).outcome()?;
        logged(daemon, &[r#"bind 127.0.0.1:8081/tcp denied: run.wasm/listen: "8081/tcp" allows it"#])?;
        run().args(["udp-bind", "127.0.0.1:53"]).outcome()?;
        logged(daemon, &[r#"bind 127.0.0.1:53/udp denied: run.wasm/listen: "53/udp" allows it"#])?;
    }

    fn a_guest_without_any_network_is_told_of_by_its_first_socket(daemon) {
        for file in ["sockets.wasm", "sockets.p3.wasm"] {
            for (words, transport) in [(["connect", "127.0.0.1:80"], "TCP"), (["udp", "127.0.0.1:80"], "UDP")] {
                let id = format!("{transport}-{}", file.replace('.', "-"));
                let denied = daemon.run(file).id(&id).args(words).outcome()?;
                assert!(denied.stdout.starts_with("error: PermissionDenied"), "{denied}");
                logged(daemon, &[&id, &format!("{transport} socket denied"), "run.wasm/egress", "run.wasm/listen"])?;
            }
        }
        logged(daemon, &["denied calls: socket 1"])?;
    }

    fn a_denied_clock_that_ends_its_guest_is_logged_with_the_annotation_that_would_allow_it(daemon) {
        for file in ["clocks.wasm", "clocks.p1.wasm"] {
            let id = file.replace('.', "-");
            let ended = daemon.run(file).id(&id).annotation("run.wasm/clock", "deny").outcome()?;
            assert_eq!(ended.code, 134, "{ended}");
            logged(daemon, &["is not allowed by `run.wasm/clock: deny`", "`real` allows it", &id])?;
            logged(daemon, &["denied calls: clock 1", &id])?;
        }
    }

    fn a_denied_request_is_logged_with_the_annotation_that_would_allow_it(daemon) {
        daemon.run("http.wasm").args(["http://10.0.0.1:8080/secret?path"]).outcome()?;
        logged(daemon, &[r#"HTTP request to 10.0.0.1:8080 denied: run.wasm/egress: "10.0.0.1:8080" allows it"#])?;
        logged(daemon, &["denied calls: http 1"])?;
        assert!(!daemon.log().contains("secret"));
    }
}
