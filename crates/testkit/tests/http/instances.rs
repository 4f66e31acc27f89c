//! How often an instance is used.

use std::io::Write;
use std::net::TcpStream;

use crate::client::{connect, read};

/// What so many requests in a row are told of how many their instance has had.
fn counts(stream: &mut TcpStream, requests: usize) -> anyhow::Result<Vec<String>> {
    let mut counts = Vec::new();
    for _ in 0..requests {
        write!(stream, "GET /count HTTP/1.1\r\nHost: test\r\n\r\n")?;
        counts.push(read(stream)?.body.trim().to_owned());
    }
    Ok(counts)
}

testkit::stories! {
    fn a_request_has_an_instance_of_its_own_unless_the_pod_says_otherwise(daemon) {
        for (file, reuse, wanted) in [
            ("serve.wasm", None, ["1", "1", "1", "1", "1"]),
            ("serve.wasm", Some("3"), ["1", "2", "3", "1", "2"]),
            ("serve.p3.wasm", None, ["1", "2", "3", "4", "5"]),
            ("serve.p3.wasm", Some("1"), ["1", "1", "1", "1", "1"]),
        ] {
            let mut run = daemon.run(file).host_network();
            if let Some(reuse) = reuse {
                run = run.annotation("run.wasm/http-reuse", reuse);
            }
            let mut server = run.spawn()?;
            assert_eq!(counts(&mut connect(daemon.nest())?, 5)?, wanted, "{file} {reuse:?}");
            server.kill("SIGTERM")?;
            assert_eq!(server.outcome()?.code, 0);
        }
    }
}
