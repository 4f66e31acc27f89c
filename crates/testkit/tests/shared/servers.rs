//! Servers of one host: those that compute, and those that answer at once.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use testkit::http::connect_to;
use testkit::{Nest, Run, tell};

use crate::{alone_on_the_machine, guest};

/// Half of what a guest may compute before others of its thread have their turn.
const AT_ONCE: Duration = Duration::from_millis(1);

/// The machine's own moods shall not decide.
const ROUNDS: usize = 15;
const REQUESTS: usize = 100;
const CONNECTIONS: usize = 8;

fn server<'a>(run: Run<'a>, port: u16) -> Run<'a> {
    run.host_network().annotation("run.wasm/http-port", &port.to_string())
}

fn connect(nest: &Nest, port: u16) -> Result<TcpStream> {
    connect_to(nest, &format!("127.0.0.1:{port}"))
}

fn ask(mut stream: &TcpStream, path: &str) -> Result<()> {
    Ok(write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")?)
}

/// Asks, and waits for the answer.
fn wait(mut stream: &TcpStream) -> Result<Duration> {
    let begin = Instant::now();
    ask(stream, "/hello")?;
    let mut answer = Vec::new();
    // The end of a body in one piece.
    while !answer.ends_with(b"\n") && !answer.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 1024];
        let length = std::io::Read::read(&mut stream, &mut bytes)?;
        ensure!(length > 0, "the connection ended");
        answer.extend_from_slice(bytes.get(..length).context("more than there is room for")?);
    }
    Ok(begin.elapsed())
}

/// How long nine of ten answers take at most.
fn most_waits(connections: &[TcpStream]) -> Result<Duration> {
    let mut waits = Vec::new();
    for _ in 0..REQUESTS {
        for stream in connections {
            waits.push(wait(stream)?);
        }
    }
    waits.sort();
    waits.get(waits.len() * 9 / 10).copied().context("nobody was asked")
}

testkit::stories! {
    fn a_server_that_computes_without_end_holds_up_no_other(daemon) {
        let _alone = alone_on_the_machine();
        let mut busy = server(guest(daemon, "serve.wasm"), 8081).annotation("run.wasm/http-timeout", "600s").spawn()?;
        let mut other = server(guest(daemon, "serve.wasm"), 8080).annotation("run.wasm/http-reuse", "100").spawn()?;
        let nest = daemon.nest();
        // Beside them there is room for one who is asked and one who asks.
        let computes = connect(nest, 8081)?;
        ask(&computes, "/spin")?;
        let connections = (0..CONNECTIONS).map(|_| connect(nest, 8080)).collect::<Result<Vec<_>>>()?;
        let mut least = Duration::MAX;
        for _ in 0..ROUNDS {
            least = least.min(most_waits(&connections)?);
            if least < AT_ONCE {
                break;
            }
        }
        tell(&format!("{:?}: beside a server that computes nine of ten answers come within {least:?}", daemon.version()));
        ensure!(least < AT_ONCE, "others wait for it: {least:?}");
        assert_eq!(nest.hosts()?.len(), 1, "both are in one host");
        for server in [&mut busy, &mut other] {
            server.kill("SIGKILL")?;
            assert_eq!(server.outcome()?.code, 137);
        }
    }
}
