//! Sockets: of the node, of the kernel, and the far end of the control channel.

use std::io;

use host::protocol::CONTROL_FD;
use libc::{
    AF_ALG, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK, SOCK_DGRAM, SOCK_RAW,
    SOCK_SEQPACKET, SOCK_STREAM,
};

use super::super::sys::{bytes, call, loopback, unix_address};
use super::{Attacker, Bait, nothing};

const CONTROL: i64 = CONTROL_FD as i64;
const SOCKET: i64 = libc::SOL_SOCKET as i64;
const SO_PASSPIDFD: i64 = 76;
const SO_PEERPIDFD: i64 = 77;
const AF_XDP: i32 = 44;

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<i64> {
    call(libc::SYS_socket, [family.into(), kind.into(), protocol.into(), 0, 0])
}

fn pair(kind: i32) -> io::Result<i64> {
    let mut ends = [0i32; 2];
    call(libc::SYS_socketpair, [AF_UNIX.into(), kind.into(), 0, bytes(&mut ends), 0])?;
    Ok(ends.first().copied().unwrap_or(-1).into())
}

fn connect(socket: i64, address: &(Vec<u8>, i64)) -> io::Result<i64> {
    call(libc::SYS_connect, [socket, bytes(&mut address.0.clone()), address.1, 0, 0])
}

/// An empty message to an address; `sendto` takes six arguments, so `sendmsg` it is.
fn send(socket: i64, address: &(Vec<u8>, i64)) -> io::Result<i64> {
    let mut name = address.0.clone();
    let mut header = [bytes(&mut name), address.1, 0, 0, 0, 0, 0];
    call(libc::SYS_sendmsg, [socket, bytes(&mut header), 0, 0, 0])
}

pub fn attack(attacker: &mut Attacker, bait: &Bait) {
    making(attacker, bait);
    let abstract_address = unix_address(format!("\0{}", bait.abstract_name).as_bytes());
    for (what, address) in [
        ("the node's socket", unix_address(bait.socket.as_bytes())),
        ("an abstract socket", abstract_address),
    ] {
        attacker
            .harmless(&format!("connect to {what}"), || connect(socket(AF_UNIX, SOCK_STREAM, 0)?, &address));
        for (of, kind) in [("stream", SOCK_STREAM), ("datagram", SOCK_DGRAM), ("packet", SOCK_SEQPACKET)] {
            attacker.harmless(&format!("connect one of a {of} pair to {what}"), || {
                connect(pair(kind)?, &address)
            });
            attacker
                .harmless(&format!("send from one of a {of} pair to {what}"), || send(pair(kind)?, &address));
        }
        attacker.harmful(&format!("connect the control channel to {what}"), || connect(CONTROL, &address));
    }
    peer(attacker, bait);
    asking(attacker);
}

/// The descriptor by which the kernel asks for the sockets of a host of many stays open in it.
fn asking(attacker: &mut Attacker) {
    attacker.harmless("speak for whom the kernel asks", || {
        for fd in 0..64 {
            let mut question = [0u64];
            let id_valid = libc::SECCOMP_IOCTL_NOTIF_ID_VALID as i64;
            match call(libc::SYS_ioctl, [fd, id_valid, bytes(&mut question), 0, 0]) {
                // It has looked for that question.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(fd),
                _ => {}
            }
        }
        nothing()
    });
}

fn making(attacker: &mut Attacker, bait: &Bait) {
    for (name, family, kind, protocol) in [
        ("unix stream", AF_UNIX, SOCK_STREAM, 0),
        ("unix datagram", AF_UNIX, SOCK_DGRAM, 0),
        ("unix packet", AF_UNIX, SOCK_SEQPACKET, 0),
        ("netlink", AF_NETLINK, SOCK_RAW, 0),
        ("netlink audit", AF_NETLINK, SOCK_RAW, 9),
        ("packet", AF_PACKET, SOCK_RAW, 0),
        ("ping", AF_INET, SOCK_DGRAM, 1),
        ("raw", AF_INET, SOCK_RAW, 1),
        ("raw v6", AF_INET6, SOCK_RAW, 58),
        ("crypto", AF_ALG, SOCK_SEQPACKET, 0),
        ("virtual machine", AF_VSOCK, SOCK_STREAM, 0),
        ("express data path", AF_XDP, SOCK_RAW, 0),
    ] {
        attacker.harmless(&format!("make a socket: {name}"), || socket(family, kind, protocol));
    }
    if !bait.network {
        attacker.harmless("make a socket: TCP", || socket(AF_INET, SOCK_STREAM, 0));
        attacker.harmless("make a socket: UDP over v6", || socket(AF_INET6, SOCK_DGRAM, 0));
        attacker.harmless("connect to a port of the node", || {
            let address = loopback(bait.port);
            connect(socket(AF_INET, SOCK_STREAM, 0)?, &(address, 16))
        });
    }
}

/// Who is at the other end of the control channel.
fn peer(attacker: &mut Attacker, bait: &Bait) {
    let ask = |option: i64| {
        let (mut value, mut length) = ([0i32; 3], [12i32]);
        call(libc::SYS_getsockopt, [CONTROL, SOCKET, option, bytes(&mut value), bytes(&mut length)])?;
        // The kernel says 0 for a pid that this namespace does not see.
        value.first().copied().filter(|first| *first > 0).map_or_else(nothing, |first| Ok(first.into()))
    };
    attacker.harmless("the shim's pid by SO_PEERCRED", || ask(libc::SO_PEERCRED.into()));
    attacker.harmless("a descriptor of the shim by SO_PEERPIDFD", || ask(SO_PEERPIDFD));
    attacker.harmless("a descriptor of the shim by every message, by SO_PASSPIDFD", || {
        let mut yes = [1i32];
        call(libc::SYS_setsockopt, [CONTROL, SOCKET, SO_PASSPIDFD, bytes(&mut yes), 4])
    });
    attacker.harmless("use the shim by SO_PEERPIDFD", || {
        let shim = ask(SO_PEERPIDFD)?;
        call(libc::SYS_pidfd_send_signal, [shim, 0, 0, 0, 0])
            .or_else(|_| call(libc::SYS_pidfd_getfd, [shim, 0, 0, 0, 0]))
    });
    attacker.harmful("have the shim signalled by F_SETOWN", || {
        call(libc::SYS_fcntl, [CONTROL, libc::F_SETOWN.into(), bait.victim.into(), 0, 0])
    });
    attacker.harmful("type into a terminal", || {
        let mut key = [b'x'];
        call(libc::SYS_ioctl, [0, libc::TIOCSTI as i64, bytes(&mut key), 0, 0])
    });
}
