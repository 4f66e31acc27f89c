//! `eater KIND`: takes all that it can get of KIND until it is killed: `cpu`, `memory` (touches 128 MiB over and over),
//! `sockets` (TCP, made and dropped, each after a try to connect to 127.0.0.1:9), `calls` (of the host).

use std::hint::black_box;

use wasip2::clocks::monotonic_clock::now;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

const PAGE: usize = 4096;

fn cpu(number: u64) -> u64 {
    (0..1_000_000).fold(number, |sum, n| black_box(sum.rotate_left(5) ^ n))
}

fn socket() {
    let Ok(socket) = create_tcp_socket(IpAddressFamily::Ipv4) else { return };
    let nowhere = IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 9, address: (127, 0, 0, 1) });
    if socket.start_connect(&instance_network(), nowhere).is_ok() {
        socket.subscribe().block();
        drop(socket.finish_connect());
    }
}

fn main() {
    let kind = std::env::args().nth(1).expect("usage: eater KIND");
    let mut memory = if kind == "memory" { vec![0u8; 128 << 20] } else { Vec::new() };
    println!("eating {kind}");
    for round in 0_u64.. {
        match kind.as_str() {
            "cpu" => drop(black_box(cpu(round))),
            "memory" => memory.chunks_mut(PAGE).for_each(|page| page[0] = page[0].wrapping_add(1)),
            "sockets" => socket(),
            "calls" => drop(black_box(now())),
            kind => panic!("there is no {kind}"),
        }
    }
}
