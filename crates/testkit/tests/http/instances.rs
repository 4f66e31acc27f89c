//! How often an instance is used.

use std::io::Write;
use std::net::TcpStream;

use crate::BOTH;
use testkit::http::{connect, read};

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

    fn a_request_is_answered_by_an_instance_that_is_free_whichever_connection_it_has_come_by(daemon) {
        for file in BOTH {
            let run = daemon.run(file).host_network().annotation("run.wasm/http-max-instances", "2");
            let run = run.annotation("run.wasm/http-reuse", "1000").annotation("run.wasm/http-concurrency", "1");
            let mut server = run.spawn()?;
            let mut busy = connect(daemon.nest())?;
            // One of the two instances answers this and nothing else.
            write!(busy, "GET /never HTTP/1.1\r\nHost: test\r\n\r\n")?;
            let mut connections = Vec::new();
            for _ in 0..5 {
                connections.push(connect(daemon.nest())?);
            }
            for (path, status, body) in [("hello", 200, "hello"), ("echo", 200, "said"), ("trap", 500, ""), ("hello", 200, "hello")] {
                for stream in &mut connections {
                    write!(stream, "POST /{path} HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nsaid")?;
                    let answer = read(stream)?;
                    assert_eq!(answer.status, status, "{file}: {path}");
                    assert!(answer.body.starts_with(body), "{file}: {path}: {}", answer.body);
                }
            }
            server.kill("SIGKILL")?;
            assert_eq!(server.outcome()?.code, 137);
        }
    }
}
