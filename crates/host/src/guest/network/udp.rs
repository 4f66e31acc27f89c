//! UDP sockets: whom one hears depends on the port that it has.
//!
//! WASI's check of a datagram names its sender and not the socket. So every socket gets a check of its own, which knows
//! the port: on a declared one everybody is heard, and may be answered from there; on any other, which is a client's,
//! only those to whom the guest may send.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use grants::Transport;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtx, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::Gate;

/// Peers of a declared port that may still be answered; the one that was silent for longest is forgotten first.
const PEERS: usize = 1024;

/// With what one UDP socket is made, and no other.
pub(in crate::guest) fn context(gate: &Arc<Gate>) -> WasiSocketsCtx {
    let mut wasi = WasiCtxBuilder::new();
    if gate.is_open() {
        let socket = Mutex::new(Socket { gate: gate.clone(), port: Port::None, peers: VecDeque::new() });
        wasi.allow_tcp(false).allow_udp(true).socket_addr_check(move |address, purpose| {
            let allowed = socket.lock().unwrap_or_else(PoisonError::into_inner).decides(address, purpose);
            Box::pin(std::future::ready(allowed))
        });
    } else {
        wasi.allow_udp(false);
    }
    Whole { wasi: wasi.build(), table: ResourceTable::new() }.sockets().ctx.clone()
}

/// What Wasmtime lets the part for sockets be taken out of.
struct Whole {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Whole {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

struct Socket {
    gate: Arc<Gate>,
    port: Port,
    /// Who sent a datagram to its declared port, most recent first.
    peers: VecDeque<SocketAddr>,
}

/// The port of a socket, as far as it was asked for: whether the kernel gave it is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    None,
    /// Every port that was asked for is declared, so the one that it has is.
    Declared,
    /// It asked for any free port at least once, and may have one.
    Any,
}

impl Socket {
    fn decides(&mut self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        let allowed = self.allows(address, purpose);
        if !allowed {
            self.gate.denied(address, purpose);
        }
        allowed
    }

    fn allows(&mut self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        match purpose {
            SocketAddrUse::UdpBind => self.binds(address),
            SocketAddrUse::UdpSend => {
                self.gate.egress(address, Transport::Udp) || self.peers.contains(&address)
            }
            SocketAddrUse::UdpReceive => self.hears(address),
            SocketAddrUse::TcpBind
            | SocketAddrUse::TcpListen
            | SocketAddrUse::TcpAccept
            | SocketAddrUse::TcpConnect => false,
        }
    }

    fn binds(&mut self, address: SocketAddr) -> bool {
        let allowed = self.gate.binds(address, Transport::Udp);
        if allowed {
            self.port = match self.gate.listens(address, Transport::Udp) && self.port != Port::Any {
                true => Port::Declared,
                false => Port::Any,
            };
        }
        allowed
    }

    fn hears(&mut self, peer: SocketAddr) -> bool {
        if self.port != Port::Declared {
            return self.gate.egress(peer, Transport::Udp);
        }
        self.peers.retain(|known| *known != peer);
        self.peers.truncate(PEERS - 1);
        self.peers.push_front(peer);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::gate::tests::{address, gate};
    use super::*;

    /// A socket of a guest with these grants, bound to this address if to any.
    fn socket(egress: &str, listen: &str, bound: &str) -> Socket {
        let mut socket = Socket { gate: gate(egress, listen), port: Port::None, peers: VecDeque::new() };
        assert!(bound.is_empty() || socket.allows(address(bound), SocketAddrUse::UdpBind));
        socket
    }

    #[test]
    fn a_server_answers_those_whom_it_heard_and_nobody_else() {
        let mut server = socket("", "53/udp", "0.0.0.0:53");
        let (peer, stranger) = (address("192.0.2.1:1234"), address("192.0.2.2:1234"));
        assert!(!server.allows(peer, SocketAddrUse::UdpSend));
        assert!(server.allows(peer, SocketAddrUse::UdpReceive));
        assert!(server.allows(peer, SocketAddrUse::UdpSend));
        assert!(!server.allows(stranger, SocketAddrUse::UdpSend));
    }

    #[test]
    fn the_peers_of_a_server_are_forgotten_in_time() {
        let mut server = socket("", "53/udp", "0.0.0.0:53");
        let peer = |number: usize| SocketAddr::new([192, 0, 2, 1].into(), u16::try_from(number + 1).unwrap());
        (0..=PEERS).for_each(|number| assert!(server.allows(peer(number), SocketAddrUse::UdpReceive)));
        assert!(!server.allows(peer(0), SocketAddrUse::UdpSend));
        assert!(server.allows(peer(1), SocketAddrUse::UdpSend));
    }

    #[test]
    fn a_client_hears_only_those_to_whom_it_may_send() {
        let mut client = socket("192.0.2.1:53", "", "0.0.0.0:0");
        assert!(client.allows(address("192.0.2.1:53"), SocketAddrUse::UdpReceive));
        assert!(!client.allows(address("192.0.2.2:53"), SocketAddrUse::UdpReceive));
    }

    #[test]
    fn beside_a_declared_port_a_client_hears_nobody_else_either() {
        let (egress, listen) = ("192.0.2.1:53", "5353/udp");
        let mut server = socket(egress, listen, "0.0.0.0:5353");
        let stranger = address("192.0.2.2:53");
        assert!(server.allows(stranger, SocketAddrUse::UdpReceive));
        for bound in ["0.0.0.0:0", ""] {
            let mut client = socket(egress, listen, bound);
            assert!(!client.allows(stranger, SocketAddrUse::UdpReceive), "{bound:?}");
            assert!(!client.allows(stranger, SocketAddrUse::UdpSend), "{bound:?}");
            assert!(client.allows(address("192.0.2.1:53"), SocketAddrUse::UdpReceive), "{bound:?}");
        }
    }

    #[test]
    fn a_socket_that_may_have_another_port_is_no_server() {
        for order in [["0.0.0.0:5353", "0.0.0.0:0"], ["0.0.0.0:0", "0.0.0.0:5353"]] {
            let mut socket = socket("192.0.2.1:53", "5353/udp", "");
            for bound in order {
                assert!(socket.allows(address(bound), SocketAddrUse::UdpBind));
            }
            assert!(!socket.allows(address("192.0.2.2:53"), SocketAddrUse::UdpReceive), "{order:?}");
        }
    }

    #[test]
    fn a_port_that_was_refused_makes_no_difference() {
        let mut server = socket("", "53/udp", "0.0.0.0:53");
        assert!(!server.allows(address("0.0.0.0:0"), SocketAddrUse::UdpBind));
        assert!(!server.allows(address("0.0.0.0:8080"), SocketAddrUse::UdpBind));
        assert!(server.allows(address("192.0.2.2:53"), SocketAddrUse::UdpReceive));
    }

    #[test]
    fn it_is_of_no_use_for_tcp() {
        let mut socket = socket("192.0.2.1", "53/udp, 53/tcp", "0.0.0.0:53");
        assert!(!socket.allows(address("192.0.2.1:53"), SocketAddrUse::TcpConnect));
        assert!(!socket.allows(address("0.0.0.0:53"), SocketAddrUse::TcpListen));
    }
}
