//! Sockets by subcommand. Prints `ok ...`, or `error: KIND` and fails.
//! - `connect ADDRESS:PORT` connects by TCP; `udp ADDRESS:PORT` sends one datagram, `ping`.
//! - `listen ADDRESS:PORT` and `udp-bind ADDRESS:PORT` bind and end; `accept ADDRESS:PORT` says `ok listening`, takes one
//!   connection, and echoes it until its end.
//! - `udp-listen ADDRESS:PORT` says `ok bound`, and echoes one datagram to whoever sent it.
//! - `resolve NAME` prints its addresses, sorted.

use std::net::{IpAddr, SocketAddr};

use guests_p3::{arguments, conclude, copy, kind, print};
use wasip3::sockets::ip_name_lookup;
use wasip3::sockets::types::{
    IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, TcpSocket, UdpSocket,
};
use wasip3::wit_stream;

const USAGE: &str = "usage: sockets connect|udp|listen|accept|udp-bind|udp-listen ADDRESS:PORT | sockets resolve NAME";

fn parsed(address: &str) -> Result<(SocketAddr, IpSocketAddress, IpAddressFamily), String> {
    let address: SocketAddr = address.parse().map_err(|_| format!("{address} is no ADDRESS:PORT"))?;
    let port = address.port();
    Ok(match address.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            let to = IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (a, b, c, d) });
            (address, to, IpAddressFamily::Ipv4)
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h] = ip.segments();
            let to = Ipv6SocketAddress { port, flow_info: 0, address: (a, b, c, d, e, f, g, h), scope_id: 0 };
            (address, IpSocketAddress::Ipv6(to), IpAddressFamily::Ipv6)
        }
    })
}

fn shown(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(at) => SocketAddr::new(ip(IpAddress::Ipv4(at.address)), at.port),
        IpSocketAddress::Ipv6(at) => SocketAddr::new(ip(IpAddress::Ipv6(at.address)), at.port),
    }
}

fn ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => [a, b, c, d].into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => [a, b, c, d, e, f, g, h].into(),
    }
}

async fn connect(address: &str) -> Result<String, String> {
    let (_, to, family) = parsed(address)?;
    TcpSocket::create(family).map_err(kind)?.connect(to).await.map_err(kind)?;
    Ok(format!("connected to {address}"))
}

fn bound(address: &str) -> Result<TcpSocket, String> {
    let (_, at, family) = parsed(address)?;
    let socket = TcpSocket::create(family).map_err(kind)?;
    socket.bind(at).map_err(kind)?;
    Ok(socket)
}

async fn listen(address: &str) -> Result<String, String> {
    bound(address)?.listen().map_err(kind)?;
    Ok(format!("listening on {address}"))
}

async fn accept(address: &str) -> Result<String, String> {
    let mut connections = bound(address)?.listen().map_err(kind)?;
    print(format!("ok listening on {address}\n")).await.map_err(|()| "the output is gone".to_owned())?;
    let connection = connections.next().await.ok_or("the listener ended")?;
    let (mut received, receiving) = connection.receive();
    let (mut writer, reader) = wit_stream::new();
    let sending = connection.send(reader);
    let length = copy(&mut received, &mut writer).await;
    drop((received, writer));
    receiving.await.map_err(kind)?;
    sending.await.map_err(kind)?;
    Ok(format!("echoed {length} bytes"))
}

async fn send_datagram(address: &str) -> Result<String, String> {
    let (_, to, family) = parsed(address)?;
    let socket = UdpSocket::create(family).map_err(kind)?;
    socket.send(b"ping".to_vec(), Some(to)).await.map_err(kind)?;
    Ok(format!("sent 4 bytes to {address}"))
}

async fn bind_datagram(address: &str) -> Result<String, String> {
    let (_, at, family) = parsed(address)?;
    UdpSocket::create(family).map_err(kind)?.bind(at).map_err(kind)?;
    Ok(format!("bound to {address}"))
}

async fn echo_datagram(address: &str) -> Result<String, String> {
    let (_, at, family) = parsed(address)?;
    let socket = UdpSocket::create(family).map_err(kind)?;
    socket.bind(at).map_err(kind)?;
    let own = shown(socket.get_local_address().map_err(kind)?);
    print(format!("ok bound to {own}\n")).await.map_err(|()| "the output is gone".to_owned())?;
    let (datagram, from) = socket.receive().await.map_err(kind)?;
    let length = datagram.len();
    socket.send(datagram, Some(from)).await.map_err(kind)?;
    Ok(format!("echoed {length} bytes to {}", shown(from).ip()))
}

async fn resolve(name: &str) -> Result<String, String> {
    let addresses = ip_name_lookup::resolve_addresses(name.to_owned()).await.map_err(kind)?;
    let mut addresses: Vec<String> = addresses.into_iter().map(|address| ip(address).to_string()).collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses.join(" "))
}

async fn run() -> Result<(), ()> {
    let arguments = arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["connect", address] => connect(address).await,
        ["listen", address] => listen(address).await,
        ["accept", address] => accept(address).await,
        ["udp", address] => send_datagram(address).await,
        ["udp-bind", address] => bind_datagram(address).await,
        ["udp-listen", address] => echo_datagram(address).await,
        ["resolve", name] => resolve(name).await,
        _ => Err(USAGE.to_owned()),
    };
    conclude(outcome).await
}

guests_p3::command!(run);
