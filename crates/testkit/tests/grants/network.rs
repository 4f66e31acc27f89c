//! Listening and connecting, in the nest's own network.

use std::net::TcpListener;

use anyhow::{Result, ensure};
use testkit::peers::{Dns, Web, settle};

use crate::row::{NETWORKED, Place, Row};

pub const PORTS: Row = Row {
    grant: "ports, run.wasm/listen",
    on: NETWORKED,
    granted: |place| listen(place, Some("8080/tcp"), "ok listening on 127.0.0.1:8080"),
    not_granted: |place| listen(place, None, "error: PermissionDenied"),
};

fn listen(place: &Place<'_>, grant: Option<&str>, wanted: &str) -> Result<String> {
    let mut run = place.run("sockets").host_network();
    if let Some(grant) = grant {
        run = run.annotation("run.wasm/listen", grant);
    }
    let seen = run.args(["listen", "127.0.0.1:8080"]).outcome()?.stdout;
    ensure!(seen.starts_with(wanted), "{seen}");
    Ok(wanted.to_owned())
}

pub const EGRESS: Row = Row {
    grant: "run.wasm/egress",
    on: NETWORKED,
    granted: |place| connect(place, true, "ok connected"),
    not_granted: |place| connect(place, false, "error: PermissionDenied"),
};

fn connect(place: &Place<'_>, granted: bool, wanted: &str) -> Result<String> {
    let server = place.daemon.nest().in_network(|| TcpListener::bind("127.0.0.1:0"))??;
    let address = server.local_addr()?.to_string();
    let mut run = place.run("sockets").host_network();
    if granted {
        run = run.annotation("run.wasm/egress", &address);
    }
    let seen = run.args(["connect", address.as_str()]).outcome()?.stdout;
    ensure!(seen.starts_with(wanted), "{seen}");
    Ok(wanted.to_owned())
}

pub const NAMES: Row = Row {
    grant: "run.wasm/egress, by name",
    on: NETWORKED,
    granted: |place| fetch(place, "api.example.com:80", "status 200"),
    not_granted: |place| fetch(place, "other.example.com:80", "HttpRequestDenied"),
};

/// Asks a web server by its name.
fn fetch(place: &Place<'_>, egress: &str, wanted: &str) -> Result<String> {
    let nest = place.daemon.nest();
    settle(nest, "203.0.113.7")?;
    let _server = Web::plain(nest, "203.0.113.7:80")?;
    let dns = Dns::start(nest)?;
    dns.says("api.example.com", &["203.0.113.7"])?;
    let run = place.run("http").host_network().annotation("run.wasm/egress", egress);
    let seen = run.args(["http://api.example.com/"]).outcome()?.stdout;
    ensure!(seen.contains(wanted), "{seen}");
    Ok(wanted.to_owned())
}
