//! Sockets: each use of an address asks the grants. Names are never looked up here.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use grants::{Grants, Transport};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

/// Peers of a UDP server that it may still answer; the one that was silent for longest is forgotten first.
const PEERS: usize = 1024;

/// Gives the guest the sockets that its grants open, if any.
pub(super) fn allow(wasi: &mut WasiCtxBuilder, grants: &Grants) {
    if !grants.uses_network() {
        return;
    }
    let gate = Gate { grants: grants.clone(), peers: Mutex::default() };
    wasi.allow_tcp(true).allow_udp(true).socket_addr_check(move |address, purpose| {
        let allowed = gate.allows(address, purpose);
        Box::pin(std::future::ready(allowed))
    });
}

struct Gate {
    grants: Grants,
    /// Who sent a datagram to a declared port, most recent first.
    peers: Mutex<VecDeque<SocketAddr>>,
}

impl Gate {
    fn allows(&self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        match purpose {
            SocketAddrUse::TcpBind => self.binds(address, Transport::Tcp),
            SocketAddrUse::TcpListen => self.listens(address, Transport::Tcp),
            // Whoever comes to a declared port is welcome.
            SocketAddrUse::TcpAccept => true,
            SocketAddrUse::TcpConnect => self.egress(address, Transport::Tcp),
            SocketAddrUse::UdpBind => self.binds(address, Transport::Udp),
            SocketAddrUse::UdpSend => self.egress(address, Transport::Udp) || self.heard_from(address),
            SocketAddrUse::UdpReceive => self.egress(address, Transport::Udp) || self.welcome(address),
        }
    }

    fn egress(&self, address: SocketAddr, transport: Transport) -> bool {
        self.grants.egress().allows(&address, transport, None)
    }

    fn listens(&self, address: SocketAddr, transport: Transport) -> bool {
        self.grants.listen().allows(address.port(), transport)
    }

    /// Port 0 is any free port: that of a client. Who listens on one is refused then.
    fn binds(&self, address: SocketAddr, transport: Transport) -> bool {
        self.listens(address, transport) || (address.port() == 0 && !self.grants.egress().is_closed())
    }

    /// A guest with a declared UDP port hears from anybody, and may answer whom it heard.
    fn welcome(&self, peer: SocketAddr) -> bool {
        let serves = self.grants.listen().ports().iter().any(|port| port.transport == Transport::Udp);
        if serves {
            let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            peers.retain(|known| *known != peer);
            peers.truncate(PEERS - 1);
            peers.push_front(peer);
        }
        serves
    }

    fn heard_from(&self, peer: SocketAddr) -> bool {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }
}
