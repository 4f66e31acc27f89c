//! Those whom guests talk to: a name server, web servers and their certificate authority. They live in the network of a
//! nest and nowhere else.

mod authority;
mod dns;
mod web;

pub use authority::Authority;
pub use dns::Dns;
pub use web::Web;

use anyhow::{Context, Result, ensure};

use crate::nest::Nest;

/// Gives the nest's loopback device an address of the world, such as `203.0.113.7` (RFC 5737).
pub fn settle(nest: &Nest, address: &str) -> Result<()> {
    let whole = if address.contains(':') { 128 } else { 32 };
    let mut command = nest.command("ip");
    let status = command.args(["address", "add", &format!("{address}/{whole}"), "dev", "lo"]).status();
    ensure!(
        status.context("there is no program `ip`")?.success(),
        "the nest cannot have the address {address}"
    );
    Ok(())
}
