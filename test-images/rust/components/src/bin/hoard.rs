//! `hoard KIND COUNT`: makes the host keep COUNT things on the guest's behalf, keeps them all, and says `done`:
//! `fields` (headers of 64 KiB), `pollables` (timers of an hour), `sockets` (TCP), `random` (one call for COUNT MiB).
//! What the host refuses is `refused at N: CODE`, and exit 1.

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::Fields;
use wasip2::random::random::get_random_bytes;
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

const HOUR: u64 = 3_600_000_000_000;

/// Makes `count` of them, and holds them until all are there.
fn keep<T, E: std::fmt::Debug>(count: u64, make: impl Fn(u64) -> Result<T, E>) -> Result<(), String> {
    let mut kept = Vec::new();
    for number in 0..count {
        kept.push(make(number).map_err(|error| format!("{number}: {error:?}"))?);
    }
    println!("done");
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, count] = &arguments[..] else { panic!("usage: hoard KIND COUNT") };
    let count: u64 = count.parse().expect("COUNT is a number");
    let value = vec![b'x'; 64 * 1024];
    let outcome = match kind.as_str() {
        "fields" => keep(count, |_| Fields::from_list(&[("x-hoard".to_owned(), value.clone())])),
        "pollables" => keep(count, |_| Ok::<_, ()>(subscribe_duration(HOUR))),
        "sockets" => keep(count, |_| create_tcp_socket(IpAddressFamily::Ipv4)),
        "random" => keep(1, |_| Ok::<_, ()>(get_random_bytes(count << 20))),
        kind => panic!("there is no {kind}"),
    };
    if let Err(refusal) = outcome {
        println!("refused at {refusal}");
        std::process::exit(1);
    }
}
