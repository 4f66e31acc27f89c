//! Sockets: each use of an address asks the grants.

use std::net::SocketAddr;
use std::sync::Arc;

use grants::{Grants, Transport};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::sockets::SocketAddrUse;

use super::Names;
use crate::protocol::Kind;

/// What the sockets of one guest may be used for.
pub(in crate::guest) struct Gate {
    grants: Grants,
    names: Arc<Names>,
}

/// Gives the guest the TCP sockets that its grants open, if any. UDP sockets are made one by one: see [`super::udp`].
pub(in crate::guest) fn allow(wasi: &mut WasiCtxBuilder, gate: &Arc<Gate>) {
    if !gate.grants.uses_network() {
        return;
    }
    let gate = gate.clone();
    wasi.allow_tcp(true).allow_udp(false).socket_addr_check(move |address, purpose| {
        let allowed = gate.allows(address, purpose);
        if !allowed {
            gate.denied(address, purpose);
        }
        Box::pin(std::future::ready(allowed))
    });
}

impl Gate {
    pub fn new(grants: &Grants, names: &Arc<Names>) -> Arc<Self> {
        Arc::new(Self { grants: grants.clone(), names: names.clone() })
    }

    /// Whether any socket could be of use to the guest.
    pub fn is_open(&self) -> bool {
        self.grants.uses_network()
    }

    /// Of a TCP socket.
    fn allows(&self, address: SocketAddr, purpose: SocketAddrUse) -> bool {
        match purpose {
            SocketAddrUse::TcpBind => self.binds(address, Transport::Tcp),
            SocketAddrUse::TcpListen => self.listens(address, Transport::Tcp),
            // Whoever comes to a declared port is welcome.
            SocketAddrUse::TcpAccept => true,
            SocketAddrUse::TcpConnect => self.egress(address, Transport::Tcp),
            SocketAddrUse::UdpBind | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => false,
        }
    }

    pub(super) fn egress(&self, address: SocketAddr, transport: Transport) -> bool {
        self.names.reaches(&address, transport)
    }

    /// Whether the port is declared: others may come to it.
    pub(super) fn listens(&self, address: SocketAddr, transport: Transport) -> bool {
        self.grants.listen().allows(address.port(), transport)
    }

    /// Port 0 is any free port: that of a client. Nobody is heard there but those whom the client may reach.
    pub(super) fn binds(&self, address: SocketAddr, transport: Transport) -> bool {
        self.listens(address, transport) || (address.port() == 0 && !self.grants.egress().is_closed())
    }

    pub(super) fn denied(&self, address: SocketAddr, purpose: SocketAddrUse) {
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
pub(super) mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::guest::Denials;
    use crate::protocol::NameFiles;

    pub fn gate(egress: &str, listen: &str) -> Arc<Gate> {
        gate_with(egress, listen, Denials::new(|_| {}))
    }

    fn gate_with(egress: &str, listen: &str, denials: Denials) -> Arc<Gate> {
        let grants = crate::guest::tests::grants(egress, listen);
        let names = Arc::new(Names::new(grants.egress(), &NameFiles::default(), denials).unwrap());
        Gate::new(&grants, &names)
    }

    pub fn address(text: &str) -> SocketAddr {
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
        assert!(!gate.allows(address("192.0.2.1:80"), SocketAddrUse::TcpConnect));
    }

    #[test]
    fn what_is_denied_is_told_with_what_would_allow_it() {
        let told = Arc::new(Mutex::new(Vec::new()));
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
