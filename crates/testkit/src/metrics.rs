//! What shims tell in the words of Prometheus.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::Containerd;

/// The sockets at which they tell it.
pub fn sockets(daemon: &Containerd) -> Vec<PathBuf> {
    let folder = fs::read_dir(daemon.nest().see("/run/run-wasm/metrics"));
    folder.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// The text at the only socket.
pub fn text(daemon: &Containerd) -> Result<String> {
    let sockets = sockets(daemon);
    let [socket] = sockets.as_slice() else { anyhow::bail!("not one socket: {sockets:?}") };
    ask(UnixStream::connect(socket)?)
}

/// The text at an address of the nest; `None` while nobody listens there.
pub fn text_at(daemon: &Containerd, address: &str) -> Result<Option<String>> {
    let connected = daemon.nest().in_network(|| TcpStream::connect(address))?;
    connected.ok().map(ask).transpose()
}

fn ask(mut stream: impl Read + Write) -> Result<String> {
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, text) = answer.split_once("\r\n\r\n").context("half an answer")?;
    ensure!(head.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("# EOF\n"), "{answer}");
    Ok(text.to_owned())
}

/// The value of a line.
pub fn value(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}
