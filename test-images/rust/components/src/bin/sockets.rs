//! Sockets by subcommand. Prints `ok ...`, or `error: KIND: TEXT` (a `std::io::ErrorKind`) and exits 1.
//! - `connect HOST:PORT` connects by TCP; `udp HOST:PORT` sends one datagram, `ping`.
//! - `listen ADDRESS:PORT` and `udp-bind ADDRESS:PORT` bind and end; `accept ADDRESS:PORT` says `ok listening`, takes one connection, and echoes it until its end.
//! - `resolve NAME` prints its addresses, sorted.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

const USAGE: &str = "usage: sockets connect|udp|listen|accept|udp-bind ADDRESS:PORT | sockets resolve NAME";

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

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [subcommand, value] = &arguments[..] else {
        eprintln!("{USAGE}");
        std::process::exit(1);
    };
    let outcome = match subcommand.as_str() {
        "connect" => connect(value),
        "listen" => listen(value),
        "accept" => accept(value),
        "udp" => send_datagram(value),
        "udp-bind" => bind_datagram(value),
        "resolve" => resolve(value),
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
