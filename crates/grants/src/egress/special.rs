//! Addresses that a wide rule must not open by the way.
//!
//! The pod's own loopback, link-local and metadata services and multicast need a rule that names them *by address*,
//! within the range itself: neither a name that resolves there (DNS rebinding) nor `0.0.0.0/0` reaches them.
//! "This host" (`0.0.0.0`, `::`), which Linux connects to loopback, is never reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Ranges with a meaning of their own.
const SPECIAL: [IpNet; 10] = [
    LOOPBACK_V4,
    LOOPBACK_V6,
    v4([169, 254, 0, 0], 16), // link-local, and the metadata service of most clouds
    v6([0xfe80, 0, 0, 0], 0, 10), // link-local
    v6([0xfd00, 0xec2, 0, 0], 0x254, 128), // AWS metadata
    v4([100, 100, 100, 200], 32), // Alibaba metadata
    v4([168, 63, 129, 16], 32), // Azure's host agent
    v4([224, 0, 0, 0], 4),    // multicast
    v4([255, 255, 255, 255], 32), // broadcast
    v6([0xff00, 0, 0, 0], 0, 8), // multicast
];

const LOOPBACK_V4: IpNet = v4([127, 0, 0, 0], 8);
const LOOPBACK_V6: IpNet = v6([0; 4], 1, 128);
const THIS_HOST: [IpNet; 2] = [v4([0; 4], 8), v6([0; 4], 0, 128)];

const fn v4(a: [u8; 4], prefix: u8) -> IpNet {
    let [a, b, c, d] = a;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(high: [u16; 4], last: u16, prefix: u8) -> IpNet {
    let [a, b, c, d] = high;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, last), prefix))
}

/// An address as the kernel routes it: IPv4-mapped IPv6 (`::ffff:a.b.c.d`) is the IPv4 address.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Every address that a packet to `address` may arrive at: itself, and the IPv4 addresses that its bits stand for
/// where a translator or a tunnel is on the way.
pub(super) fn faces(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let embedded = match address {
        IpAddr::V6(v6) => embedded(v6),
        IpAddr::V4(_) => [None; 3],
    };
    std::iter::once(address).chain(embedded.into_iter().flatten().map(IpAddr::V4))
}

/// The IPv4 addresses in an IPv6 address: IPv4-compatible (RFC 4291, 2.5.5.1), NAT64 with the well-known prefix
/// (RFC 6052) and with the local one, whose length only the network knows (RFC 8215: the addresses of /48, /64 and /96),
/// and 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 3] {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        // `::` and `::1` are what they are.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; 3],
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [v4(high, low), None, None],
        [0x64, 0xff9b, 1, a, b, c, high, low] => {
            // Bits 64 to 71 are left out by the shorter prefixes.
            let after_octet = |first: u16, second: u16| (first & 0xff) << 8 | second >> 8;
            [v4(high, low), v4(a, after_octet(b, c)), v4(after_octet(b, c), (c & 0xff) << 8 | high >> 8)]
        }
        [0x2002, high, low, ..] => [v4(high, low), None, None],
        _ => [None; 3],
    }
}

/// Whether no rule may ever open `address`.
pub(super) fn is_this_host(address: IpAddr) -> bool {
    faces(address).any(|face| THIS_HOST.iter().any(|net| net.contains(&face)))
}

/// Whether `net` has no address that a rule may open.
pub(super) fn is_only_this_host(net: &IpNet) -> bool {
    THIS_HOST.iter().any(|host| host.contains(net))
}

/// Whether `address` is reached by no name but `localhost`.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    LOOPBACK_V4.contains(&address) || LOOPBACK_V6.contains(&address)
}

/// Whether `address` is in a range that must be named by address.
pub(super) fn is_special(address: IpAddr) -> bool {
    faces(address).any(|face| SPECIAL.iter().any(|net| net.contains(&face)))
}

/// Whether a rule for `net` may open `address`, which is in it: an ordinary address always, a special one only when
/// `net` lies within the special range.
pub(super) fn named_by(net: &IpNet, address: IpAddr) -> bool {
    !is_special(address) || SPECIAL.iter().any(|special| special.contains(&address) && special.contains(net))
}

/// Whether a bound for the network `outer` also bounds a rule for `inner`: everything that `inner` opens, `outer` does.
pub(super) fn within(inner: &IpNet, outer: &IpNet) -> bool {
    let names_special = |special: &IpNet| !special.contains(inner) || special.contains(outer);
    outer.contains(inner) && SPECIAL.iter().all(names_special)
}
