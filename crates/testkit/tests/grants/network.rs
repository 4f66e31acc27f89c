//! Listening and connecting, in the nest's own network.

use std::net::TcpListener;

use anyhow::{Result, ensure};

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
