//! Sockets: each use of an address asks the grants.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use grants::{Grants, Transport};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::Names;
use crate::protocol::Kind;

/// Peers of a UDP server that it may still answer; the one that was silent for longest is forgotten first.
const PEERS: usize = 1024;

/// Gives the guest the sockets that its grants open, if any.
pub(in crate::guest) fn allow(wasi: &mut WasiCtxBuilder, grants: &Grants, names: &Arc<Names>) {
    if !grants.uses_network() {
        return;
    }
    let gate = Gate { grants: grants.clone(), names: names.clone(), peers: Mutex::default() };
    wasi.allow_tcp(true).allow_udp(true).socket_addr_check(move |address, purpose| {
        let allowed = gate.allows(address, purpose);
        if !allowed {
            gate.denied(address, purpose);
        }
        Box::pin(std::future::ready(allowed))
    });
}

struct Gate {
    grants: Grants,
    names: Arc<Names>,
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
        self.names.reaches(&address, transport)
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

    fn denied(&self, address: SocketAddr, purpose: SocketAddrUse) {
        let (kind, transport) = kind_of(purpose);
        self.names.denials().note(kind, || {
            let cure = match kind {
                Kind::Bind if address.port() == 0 => CLIENT.to_owned(),
                Kind::Bind | Kind::Listen => self.grants.listen().cure(address.port(), transport),
                _ => self.names.cure(&address, transport),
            };
            let to = match kind {
                Kind::Connect | Kind::Send => " to",
                Kind::Receive => " from",
                _ => "",
            };
            format!("{kind}{to} {address}/{transport} denied: {cure}")
        });
    }

    fn heard_from(&self, peer: SocketAddr) -> bool {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer)
    }
}

/// What lets a guest bind any free port, which a client needs.
const CLIENT: &str = "a rule in run.wasm/egress allows it, such as \"10.0.0.7:443\"";

fn kind_of(purpose: SocketAddrUse) -> (Kind, Transport) {
    match purpose {
        SocketAddrUse::TcpBind => (Kind::Bind, Transport::Tcp),
        // An accept is never denied.
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => (Kind::Listen, Transport::Tcp),
        SocketAddrUse::TcpConnect => (Kind::Connect, Transport::Tcp),
        SocketAddrUse::UdpBind => (Kind::Bind, Transport::Udp),
        SocketAddrUse::UdpSend => (Kind::Send, Transport::Udp),
        SocketAddrUse::UdpReceive => (Kind::Receive, Transport::Udp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Denials;
    use crate::protocol::NameFiles;

    fn gate(egress: &str, listen: &str) -> Gate {
        gate_with(egress, listen, Denials::new(|_| {}))
    }

    fn gate_with(egress: &str, listen: &str, denials: Denials) -> Gate {
        let grants = crate::guest::tests::grants(egress, listen);
        let names = Arc::new(Names::new(grants.egress(), &NameFiles::default(), denials).unwrap());
        Gate { grants, names, peers: Mutex::default() }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_connects_where_it_may_and_listens_nowhere() {
        let gate = gate("10.0.0.0/8:5432", "");
        assert!(gate.allows(address("10.1.2.3:5432"), SocketAddrUse::TcpConnect));
        assert!(!gate.allows(address("10.1.2.3:80"), SocketAddrUse::TcpConnect));
        assert!(!gate.allows(address("192.0.2.1:5432"), SocketAddrUse::TcpConnect));
        assert!(gate.allows(address("0.0.0.0:0"), SocketAddrUse::TcpBind), "as a connection is made");
        assert!(!gate.allows(address("0.0.0.0:8080"), SocketAddrUse::TcpBind));
        assert!(!gate.allows(address("0.0.0.0:0"), SocketAddrUse::TcpListen));
        assert!(!gate.allows(address("0.0.0.0:40000"), SocketAddrUse::TcpListen));
    }

    #[test]
    fn a_server_listens_on_its_ports_and_connects_nowhere() {
        let gate = gate("", "8080/tcp");
        assert!(gate.allows(address("0.0.0.0:8080"), SocketAddrUse::TcpBind));
        assert!(gate.allows(address("0.0.0.0:8080"), SocketAddrUse::TcpListen));
        assert!(gate.allows(address("192.0.2.1:1234"), SocketAddrUse::TcpAccept));
        assert!(!gate.allows(address("0.0.0.0:8081"), SocketAddrUse::TcpBind));
        assert!(!gate.allows(address("0.0.0.0:0"), SocketAddrUse::TcpBind));
        assert!(!gate.allows(address("0.0.0.0:8080"), SocketAddrUse::UdpBind));
        assert!(!gate.allows(address("192.0.2.1:80"), SocketAddrUse::TcpConnect));
    }

    #[test]
    fn a_udp_server_answers_those_whom_it_heard_and_nobody_else() {
        let gate = gate("", "53/udp");
        let (peer, stranger) = (address("192.0.2.1:1234"), address("192.0.2.2:1234"));
        assert!(gate.allows(address("0.0.0.0:53"), SocketAddrUse::UdpBind));
        assert!(!gate.allows(peer, SocketAddrUse::UdpSend));
        assert!(gate.allows(peer, SocketAddrUse::UdpReceive));
        assert!(gate.allows(peer, SocketAddrUse::UdpSend));
        assert!(!gate.allows(stranger, SocketAddrUse::UdpSend));
    }

    #[test]
    fn the_peers_of_a_udp_server_are_forgotten_in_time() {
        let gate = gate("", "53/udp");
        let peer = |number: usize| SocketAddr::new([192, 0, 2, 1].into(), u16::try_from(number + 1).unwrap());
        (0..=PEERS).for_each(|number| assert!(gate.allows(peer(number), SocketAddrUse::UdpReceive)));
        assert!(!gate.allows(peer(0), SocketAddrUse::UdpSend));
        assert!(gate.allows(peer(1), SocketAddrUse::UdpSend));
    }

    #[test]
    fn a_udp_client_hears_only_those_to_whom_it_may_send() {
        let gate = gate("192.0.2.1:53", "");
        assert!(gate.allows(address("192.0.2.1:53"), SocketAddrUse::UdpReceive));
        assert!(!gate.allows(address("192.0.2.2:53"), SocketAddrUse::UdpReceive));
    }

    #[test]
    fn what_is_denied_is_told_with_what_would_allow_it() {
        let told = std::sync::Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let denials = Denials::new(move |denial| heard.lock().unwrap().push(denial.sentence));
        let gate = gate_with("", "53/udp", denials);
        for (to, purpose) in [
            ("10.0.0.1:80", SocketAddrUse::TcpConnect),
            ("[2001:db8::1]:53", SocketAddrUse::UdpSend),
            ("0.0.0.0:8080", SocketAddrUse::TcpBind),
            ("10.0.0.1:81", SocketAddrUse::TcpConnect),
        ] {
            gate.denied(address(to), purpose);
        }
        assert_eq!(
            *told.lock().unwrap(),
            [
                r#"connect to 10.0.0.1:80/tcp denied: run.wasm/egress: "10.0.0.1:80" allows it"#,
                r#"send to [2001:db8::1]:53/udp denied: run.wasm/egress: "udp://[2001:db8::1]:53" allows it"#,
                r#"bind 0.0.0.0:8080/tcp denied: run.wasm/listen: "8080/tcp" allows it, and so does `ports` of the pod"#,
            ]
        );
    }
}
