//! The listener of a container that serves: made here, in its pod's network, and handed over when it is started. Its host may
//! take connections and can make no socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::netns;

/// Connections that may wait to be taken; the kernel's own bound (`net.core.somaxconn`) may be lower.
const WAITING: i32 = 4096;

/// Listens on `port` of a network namespace, for IPv4 and, where the node has it, for IPv6.
pub fn open(netns: OwnedFd, port: u16) -> Result<OwnedFd> {
    netns::within(netns, move || Ok(in_this_network(port)?)).with_context(|| {
        format!(
            "the container serves HTTP and cannot listen on port {port} of its pod: where another container has it, choose \
             another by the annotation run.wasm/http-port"
        )
    })
}

fn in_this_network(port: u16) -> io::Result<OwnedFd> {
    match at(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port) {
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => Ok(at(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)?),
        opened => Ok(opened?),
    }
}

fn at(address: IpAddr, port: u16) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    // Connections of the container before this one may linger in the kernel.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind(&socket, &SocketAddr::new(address, port))?;
    listen(&socket, WAITING)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn own() -> OwnedFd {
        std::fs::File::open("/proc/thread-self/ns/net").unwrap().into()
    }

    #[test]
    fn both_versions_of_ip_come_to_one_listener_and_a_taken_port_is_told() {
        let taken = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let told = format!("{:#}", open(own(), port).unwrap_err());
        assert!(told.contains(&format!("port {port}")) && told.contains("in use"), "{told}");
        drop(taken);
        let listener = TcpListener::from(open(own(), port).unwrap());
        listener.set_nonblocking(false).unwrap();
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        listener.accept().unwrap();
    }
}
