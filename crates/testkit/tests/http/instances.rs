//! How often an instance is used.

use std::io::Write;
use std::net::TcpStream;

use crate::client::{connect, read};

/// What so many requests in a row are told of how many their instance has had.
fn counts(stream: &mut TcpStream, requests: usize) -> anyhow::Result<Vec<u32>> {
    let mut counts = Vec::new();
    for _ in 0..requests {
        write!(stream, "GET /count HTTP/1.1\r\nHost: test\r\n\r\n")?;
        counts.push(read(stream)?.body.trim().parse()?);
    }
    Ok(counts)
}

testkit::stories! {
    fn a_request_has_an_instance_of_its_own_unless_the_pod_says_otherwise(daemon) {
        // A request that comes before its forerunner's instance is free again begins another one.
        for (file, reuse, most) in [
            ("serve.wasm", None, 1),
            ("serve.wasm", Some("3"), 3),
            ("serve.p3.wasm", None, 128),
            ("serve.p3.wasm", Some("1"), 1),
        ] {
            let mut run = daemon.run(file).host_network();
            if let Some(reuse) = reuse {
                run = run.annotation("run.wasm/http-reuse", reuse);
            }
            let mut server = run.spawn()?;
            let counts = counts(&mut connect(daemon.nest())?, 20)?;
            assert!(counts.iter().all(|count| (1..=most).contains(count)), "{file} {reuse:?}: {counts:?}");
            assert_eq!(counts.iter().any(|count| *count > 1), most > 1, "{file} {reuse:?}: {counts:?}");
            server.kill("SIGTERM")?;
            assert_eq!(server.outcome()?.code, 0);
        }
    }
}
