//! What would allow a call that the egress list does not: the end of the sentence by which a person learns of it.

use std::net::SocketAddr;

use super::{Egress, name, special};
use crate::Transport;
use crate::error::shown;

const NEVER: &str = "no grant allows it: it means this host itself, and 127.0.0.1 or [::1] is the pod";
const NODE: &str = "the node's config forbids it (`egress.deny-cidrs`)";

impl Egress {
    /// What would allow a guest to send to `to`; `name_asked` as in [`Egress::allows`].
    pub fn cure(&self, to: &SocketAddr, transport: Transport, name_asked: Option<&str>) -> String {
        let address = special::canonical(to.ip());
        if special::is_this_host(address) {
            return NEVER.to_owned();
        }
        if self.denies(address) {
            return NODE.to_owned();
        }
        let scheme = if transport == Transport::Udp { "udp://" } else { "" };
        // A name opens no special address, so there the address itself is what to write.
        let name = name_asked.and_then(|name| name::canonical(name).ok());
        match name.filter(|name| name == "localhost" || !special::is_special(address)) {
            Some(name) => grant(&format!("{scheme}{name}:{}", to.port())),
            None => grant(&format!("{scheme}{}", SocketAddr::new(address, to.port()))),
        }
    }

    /// What would allow a guest to look up `name`, to connect to this port if there is one.
    pub fn cure_name(&self, name: &str, port: Option<u16>) -> String {
        match name::canonical(name) {
            Ok(name) => grant(&port.map_or(name.clone(), |port| format!("{name}:{port}"))),
            Err(why) => format!("no grant allows it: `{}` {why}", shown(name)),
        }
    }
}

fn grant(rule: &str) -> String {
    format!("run.wasm/egress: \"{rule}\" allows it")
}
