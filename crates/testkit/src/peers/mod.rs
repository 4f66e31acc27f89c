//! Those whom guests talk to: a name server, web servers and their certificate authority. They live in the network of a
//! nest and nowhere else.

mod authority;
mod collector;
mod dns;
mod web;

pub use authority::Authority;
pub use collector::{Collector, Span};
pub use dns::Dns;
pub use web::Web;

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result, ensure};
use tokio::runtime::Runtime;

use crate::nest::Nest;

/// Gives the nest's loopback device an address of the world, such as `203.0.113.7` (RFC 5737).
pub fn settle(nest: &Nest, address: &str) -> Result<()> {
    // Nobody else has it, and while that is still being found out an IPv6 address cannot be bound.
    let (whole, at_once) = if address.contains(':') { (128, Some("nodad")) } else { (32, None) };
    let mut command = nest.command("ip");
    command.args(["address", "replace", &format!("{address}/{whole}"), "dev", "lo"]).args(at_once);
    let status = command.status();
    ensure!(
        status.context("there is no program `ip`")?.success(),
        "the nest cannot have the address {address}"
    );
    Ok(())
}

/// Listens at an address of the nest, whose port 0 is any, for a server on a runtime of its own.
fn listen(nest: &Nest, address: &str) -> Result<(Runtime, tokio::net::TcpListener, SocketAddr)> {
    let listener = nest.in_network(|| TcpListener::bind(address))??;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    Ok((runtime, listener, address))
}
