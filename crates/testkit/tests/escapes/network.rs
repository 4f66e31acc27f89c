//! Ways around the egress list and the declared ports: other spellings, other names, other answers.
//!
//! The target is a web server in the nest that no grant covers, at loopback or at an address of the world's.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::Wasi;
use testkit::peers::{Dns, Web, settle};

use crate::attempt::{Attempt, Control, Verdict};
use crate::scene::Scene;

/// Guests with sockets of any kind.
const NETWORKED: &[Wasi] = &[Wasi::P2, Wasi::P3];
/// Guests whose sockets ask the C library for names.
const SOCKETS: &[Wasi] = &[Wasi::P2];

const GRANTED: &str = "api.example.com";
/// Where the granted name leads.
const SERVER: &str = "203.0.113.7";
/// Where no grant leads.
const OTHER: &str = "203.0.113.8";

const NO_SUCH_WAY: Control = Control::None("WASI has no such address, whatever is granted");

pub const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "connects to an address of a granted name without having asked for it",
        on: SOCKETS,
        control: Control::Open,
        act: |scene| each(scene, "api.example.com:80", SERVER, &["203.0.113.7:80"]),
    },
    Attempt {
        name: "connects to another address after it asked for a granted name",
        on: SOCKETS,
        control: Control::Open,
        act: |scene| each(scene, "api.example.com:81", OTHER, &["api.example.com:81", "203.0.113.8:80"]),
    },
    Attempt {
        name: "has a granted name rebound to loopback",
        on: SOCKETS,
        control: Control::Open,
        act: |scene| rebound(scene, "127.0.0.1"),
    },
    Attempt {
        name: "has a granted name rebound to IPv4-mapped loopback",
        on: SOCKETS,
        control: Control::Open,
        act: |scene| rebound(scene, "::ffff:127.0.0.1"),
    },
    Attempt {
        name: "connects to `0.0.0.0`, which Linux takes for loopback",
        on: SOCKETS,
        control: NO_SUCH_WAY,
        act: |scene| each(scene, "*, 0.0.0.0/0, [::/0]", "127.0.0.1", &["0.0.0.0:80", "[::]:80"]),
    },
    Attempt {
        name: "connects to loopback in the clothes of IPv6",
        on: SOCKETS,
        control: NO_SUCH_WAY,
        act: |scene| each(scene, "*, [::/0]", "127.0.0.1", &["[::ffff:127.0.0.1]:80", "[::127.0.0.1]:80"]),
    },
    Attempt {
        name: "spells loopback in hexadecimal, octal and decimal",
        on: SOCKETS,
        control: NO_SUCH_WAY,
        act: |scene| {
            each(
                scene,
                "*, 0.0.0.0/0",
                "127.0.0.1",
                &["0x7f.1:80", "0177.0.0.1:80", "2130706433:80", "127.1:80"],
            )
        },
    },
    Attempt {
        name: "follows a redirect to loopback",
        on: SOCKETS,
        control: Control::Open,
        act: |scene| {
            let _outer = server(scene, SERVER)?;
            http(scene, "127.0.0.1", &["--follow", "http://api.example.com/to/127.0.0.1"])
        },
    },
    Attempt {
        name: "asks the address of a granted name by HTTP",
        on: SOCKETS,
        control: Control::Open,
        act: |scene| http(scene, SERVER, &["http://203.0.113.7/"]),
    },
    Attempt {
        name: "sends a datagram to another than its connected peer",
        on: SOCKETS,
        control: Control::None("a connected socket has one peer, whatever is granted"),
        act: |scene| {
            settle(scene.daemon.nest(), SERVER)?;
            let target = scene.daemon.nest().in_network(|| UdpSocket::bind("127.0.0.1:514"))??;
            target.set_read_timeout(Some(Duration::from_millis(500)))?;
            let run = scene.guest("sockets").host_network().annotation("run.wasm/egress", "203.0.113.7:514");
            let told = run.args(["udp-peers", "203.0.113.7:514", "127.0.0.1:514"]).outcome()?.stdout;
            Ok(match target.recv(&mut [0; 16]) {
                Ok(length) => Verdict::Escaped(format!("a datagram of {length} bytes through")),
                Err(_) => Verdict::Stopped(told),
            })
        },
    },
    Attempt {
        name: "listens on a port that was not declared",
        on: SOCKETS,
        control: Control::Open,
        act: |scene| listen(scene, "0.0.0.0:8081", "8081/tcp"),
    },
    Attempt {
        name: "listens on a port for the other transport",
        on: SOCKETS,
        control: Control::Open,
        act: |scene| listen(scene, "[::]:8080", "8080/tcp"),
    },
    Attempt {
        name: "hears a stranger on a UDP port that is not the declared one",
        on: NETWORKED,
        control: Control::Open,
        act: stranger,
    },
];

fn server(scene: &Scene<'_>, address: &str) -> Result<Web> {
    let nest = scene.daemon.nest();
    if !address.starts_with("127.") {
        settle(nest, address)?;
    }
    Web::plain(nest, &format!("{address}:80"))
}

/// Connects to each of `hosts`; in the control the target is granted by its address.
fn each(scene: &Scene<'_>, egress: &str, target: &str, hosts: &[&str]) -> Result<Verdict> {
    let _target = server(scene, target)?;
    settle(scene.daemon.nest(), SERVER)?;
    let dns = Dns::start(scene.daemon.nest())?;
    dns.says(GRANTED, &[SERVER])?;
    let egress = if scene.open { format!("{egress}, {target}") } else { egress.to_owned() };
    let run = scene.guest("sockets").host_network().annotation("run.wasm/egress", &egress);
    let told = run.args(std::iter::once("each").chain(hosts.iter().copied())).outcome()?.stdout;
    Ok(if told.contains(" ok") { Verdict::Escaped(told) } else { Verdict::Stopped(told) })
}

/// Asks twice for a name that leads inward the second time.
fn rebound(scene: &Scene<'_>, inward: &str) -> Result<Verdict> {
    let (_outer, _inner) = (server(scene, SERVER)?, server(scene, "127.0.0.1")?);
    let dns = Dns::start(scene.daemon.nest())?;
    dns.says(GRANTED, &[SERVER])?;
    dns.then(GRANTED, &[inward])?;
    let egress = if scene.open { "api.example.com:80, 127.0.0.1" } else { "api.example.com:80" };
    let run = scene.guest("sockets").host_network().annotation("run.wasm/egress", egress);
    let told = run.args(["each", "api.example.com:80", "api.example.com:80"]).outcome()?.stdout;
    let second = told.split_once("] ").map(|(_, second)| second.to_owned()).unwrap_or_default();
    Ok(if second.contains(" ok") { Verdict::Escaped(second) } else { Verdict::Stopped(second) })
}

/// A request with `words`; an escape if `target` answers.
fn http(scene: &Scene<'_>, target: &str, words: &[&str]) -> Result<Verdict> {
    let _target = server(scene, target)?;
    let dns = Dns::start(scene.daemon.nest())?;
    dns.says(GRANTED, &[SERVER])?;
    let egress = if scene.open { format!("{GRANTED}, {target}") } else { GRANTED.to_owned() };
    let run = scene.guest("http").host_network().annotation("run.wasm/egress", &egress);
    let told = run.args(words.iter().copied()).outcome()?.stdout;
    let last = told.lines().last().unwrap_or_default().to_owned();
    Ok(if last.starts_with("hello by") { Verdict::Escaped(last) } else { Verdict::Stopped(last) })
}

fn listen(scene: &Scene<'_>, address: &str, needed: &str) -> Result<Verdict> {
    let declared = if scene.open { needed } else { "8080/udp" };
    let run = scene.guest("sockets").host_network().annotation("run.wasm/listen", declared);
    let told = run.args(["listen", address]).outcome()?.stdout;
    Ok(if told.starts_with("ok ") { Verdict::Escaped(told) } else { Verdict::Stopped(told) })
}

/// A stranger writes to a client's port first, then the peer that it is granted: an escape if the stranger is heard.
fn stranger(scene: &Scene<'_>) -> Result<Verdict> {
    let bound = || UdpSocket::bind("127.0.0.1:0");
    let (peer, stranger) = scene.daemon.nest().in_network(|| (bound(), bound()))?;
    let (peer, stranger) = (peer?, stranger?);
    let granted =
        if scene.open { "udp://127.0.0.1".to_owned() } else { format!("udp://{}", peer.local_addr()?) };
    let run = scene.guest("sockets").host_network().annotation("run.wasm/listen", "5353/udp");
    let run = run.annotation("run.wasm/egress", &granted);
    let mut guest = run.args(["udp-listen", "127.0.0.1:0"]).spawn()?;
    guest.says("\n")?;
    let said = guest.stdout();
    let own = said.trim_end().strip_prefix("ok bound to ").with_context(|| said.clone())?;
    stranger.send_to(b"a stranger's word", own)?;
    peer.send_to(b"the peer's", own)?;
    let told = guest.outcome()?.stdout;
    let last = told.lines().last().unwrap_or_default().to_owned();
    Ok(if last.contains("echoed 17 bytes") { Verdict::Escaped(last) } else { Verdict::Stopped(last) })
}
