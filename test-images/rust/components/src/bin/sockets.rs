//! Sockets by subcommand. Prints `ok ...`, or `error: KIND: TEXT` (a `std::io::ErrorKind`) and exits 1.
//! - `connect HOST:PORT` connects by TCP; `udp HOST:PORT` sends one datagram, `ping`.
//! - `listen ADDRESS:PORT` and `udp-bind ADDRESS:PORT` bind and end; `accept ADDRESS:PORT` says `ok listening`, takes one connection, and echoes it until its end.
//! - `resolve NAME` prints its addresses, sorted.
//! - `each HOST:PORT...` looks each up, one after the other, and connects to every address: `ok` of each that it reached, else its KIND.
//! - `udp-peers HOST:PORT HOST:PORT` connects a UDP socket to the first and sends one datagram to each: `sent` or its KIND.
//! - `udp-listen ADDRESS:PORT` says `ok bound`, and echoes one datagram to whoever sent it.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

const USAGE: &str = "usage: sockets connect|udp|listen|accept|udp-bind|udp-listen ADDRESS:PORT | resolve NAME | each HOST:PORT... | udp-peers PEER OTHER";

fn connect(address: &str) -> io::Result<String> {
    TcpStream::connect(address).map(|_| format!("connected to {address}"))
}

fn listen(address: &str) -> io::Result<String> {
    let listener = TcpListener::bind(address)?;
    Ok(format!("listening on {}", listener.local_addr()?))
}

fn accept(address: &str) -> io::Result<String> {
    let listener = TcpListener::bind(address)?;
    println!("ok listening on {}", listener.local_addr()?);
    io::stdout().flush()?;
    let (stream, peer) = listener.accept()?;
    let length = io::copy(&mut &stream, &mut &stream)?;
    Ok(format!("echoed {length} bytes to {}", peer.ip()))
}

/// Binds to the unspecified address of the peer's own family.
fn send_datagram(address: &str) -> io::Result<String> {
    let to = address.to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    let length = socket.send_to(b"ping", to)?;
    Ok(format!("sent {length} bytes to {address}"))
}

fn bind_datagram(address: &str) -> io::Result<String> {
    let socket = UdpSocket::bind(address)?;
    Ok(format!("bound to {}", socket.local_addr()?))
}

fn resolve(name: &str) -> io::Result<String> {
    let mut addresses: Vec<String> = (name, 0).to_socket_addrs()?.map(|address| address.ip().to_string()).collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses.join(" "))
}

/// `HOST:PORT=[ADDRESS ok, ADDRESS KIND]` for each.
fn each(hosts: &[String]) -> io::Result<String> {
    let mut lines = Vec::new();
    for host in hosts {
        let seen = match host.to_socket_addrs() {
            Ok(addresses) => addresses.map(|address| format!("{} {}", address.ip(), verdict(TcpStream::connect(address), "ok"))).collect::<Vec<_>>().join(", "),
            Err(error) => format!("{:?}", error.kind()),
        };
        lines.push(format!("{host}=[{seen}]"));
    }
    Ok(lines.join(" "))
}

fn verdict<T>(result: io::Result<T>, good: &str) -> String {
    result.map_or_else(|error| format!("{:?}", error.kind()), |_| good.to_owned())
}

fn datagram_to_peers(peer: &str, other: &str) -> io::Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(peer)?;
    let to_peer = verdict(socket.send(b"ping"), "sent");
    let to_other = verdict(socket.send_to(b"ping", other), "sent");
    Ok(format!("peer: {to_peer}, other: {to_other}"))
}

fn echo_datagram(address: &str) -> io::Result<String> {
    let socket = UdpSocket::bind(address)?;
    println!("ok bound to {}", socket.local_addr()?);
    io::stdout().flush()?;
    let mut datagram = [0; 1024];
    let (length, from) = socket.recv_from(&mut datagram)?;
    socket.send_to(&datagram[..length], from)?;
    Ok(format!("echoed {length} bytes to {}", from.ip()))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["connect", value] => connect(value),
        ["listen", value] => listen(value),
        ["accept", value] => accept(value),
        ["udp", value] => send_datagram(value),
        ["udp-bind", value] => bind_datagram(value),
        ["udp-listen", value] => echo_datagram(value),
        ["udp-peers", peer, other] => datagram_to_peers(peer, other),
        ["resolve", value] => resolve(value),
        ["each", ..] => each(&arguments[1..]),
        _ => {
            eprintln!("{USAGE}");
            std::process::exit(1);
        }
    };
    match outcome {
        Ok(text) => println!("ok {text}"),
        Err(error) => {
            println!("error: {:?}: {error}", error.kind());
            std::process::exit(1);
        }
    }
}
