//! One rule of an egress list: `[scheme://]target[:port|:lo-hi]`. It prints the way it parses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{name, special};
use crate::Transport;
use crate::error::shown;
use crate::text::as_text;

/// What a guest may reach: one host, the names below a suffix, or a network, on some ports of one or both transports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    scheme: Option<Scheme>,
    target: Target,
    ports: Option<Ports>,
}

/// Narrows a rule to a transport; `http` and `https` also stand for their port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Tcp,
    Udp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// `*`: any name, but no address that was not looked up.
    AnyName,
    Name(String),
    /// `*.example.com`: every name below it, not itself.
    Below(String),
    Net(IpNet),
}

/// Both ends included; 1 or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ports {
    low: u16,
    high: u16,
}

/// One attempt of a guest to send to somewhere. The address is canonical, the name too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'a> {
    pub address: IpAddr,
    pub port: u16,
    pub transport: Transport,
    pub name: Option<&'a str>,
}

impl Rule {
    /// Whether it opens nothing before a name was looked up. `localhost` needs no server for that.
    pub fn needs_lookup(&self) -> bool {
        match &self.target {
            Target::Net(_) => false,
            Target::Name(name) => name != "localhost",
            Target::AnyName | Target::Below(_) => true,
        }
    }

    /// Whether it is about `name`, in any spelling that resolvers take for the same.
    pub fn is_about(&self, name: &str) -> bool {
        name::canonical(name).is_ok_and(|name| self.names(&name))
    }

    /// Whether this rule opens the way for `attempt`.
    pub(super) fn allows(&self, attempt: &Attempt<'_>) -> bool {
        let Attempt { address, port, transport, name } = *attempt;
        self.opens(port, transport)
            && match &self.target {
                Target::Net(net) => net.contains(&address) && special::named_by(net, address),
                Target::Name(own) if own == "localhost" && special::is_loopback(address) => name == Some(own),
                _ => !special::is_special(address) && name.is_some_and(|name| self.names(name)),
            }
    }

    /// Whether the rule is for this transport and port.
    pub(super) fn opens(&self, port: u16, transport: Transport) -> bool {
        self.takes(transport) && self.ports().contains(port)
    }

    /// Whether this rule is about `name`, which is canonical.
    pub(super) fn names(&self, name: &str) -> bool {
        match &self.target {
            Target::AnyName => true,
            Target::Name(own) => own == name,
            Target::Below(suffix) => name::is_below(name, suffix),
            Target::Net(_) => false,
        }
    }

    /// Whether everything that this rule opens is opened by `bound`, too.
    pub(super) fn is_within(&self, bound: &Self) -> bool {
        let transports = [Transport::Tcp, Transport::Udp];
        let target = match (&self.target, &bound.target) {
            (Target::Net(own), Target::Net(net)) => special::within(own, net),
            (Target::Name(own), _) if own == "localhost" => bound.target == self.target,
            (Target::Name(own), _) => bound.names(own),
            (Target::Below(own), Target::Below(suffix)) => own == suffix || name::is_below(own, suffix),
            (Target::Below(_) | Target::AnyName, Target::AnyName) => true,
            _ => false,
        };
        target
            && self.ports().is_within(bound.ports())
            && transports.iter().all(|transport| !self.takes(*transport) || bound.takes(*transport))
    }

    /// The network that the rule names, when it names one.
    pub(super) fn network(&self) -> Option<&IpNet> {
        match &self.target {
            Target::Net(net) => Some(net),
            _ => None,
        }
    }

    fn takes(&self, transport: Transport) -> bool {
        match self.scheme {
            None => true,
            Some(Scheme::Udp) => transport == Transport::Udp,
            Some(Scheme::Http | Scheme::Https | Scheme::Tcp) => transport == Transport::Tcp,
        }
    }

    fn ports(&self) -> Ports {
        match (self.ports, self.scheme) {
            (Some(ports), _) => ports,
            (None, Some(Scheme::Http)) => Ports { low: 80, high: 80 },
            (None, Some(Scheme::Https)) => Ports { low: 443, high: 443 },
            (None, _) => Ports { low: 1, high: u16::MAX },
        }
    }
}

impl Ports {
    fn contains(self, port: u16) -> bool {
        (self.low..=self.high).contains(&port)
    }

    fn is_within(self, other: Self) -> bool {
        other.low <= self.low && self.high <= other.high
    }
}

/// Why a text is no rule; names the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` {why}")]
pub struct RuleError {
    part: String,
    why: String,
}

impl RuleError {
    pub(super) fn new(part: &str, why: impl Into<String>) -> Self {
        Self { part: shown(part), why: why.into() }
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme_of(scheme)?), rest),
            None => (None, text),
        };
        let (target, ports) = split_ports(rest)?;
        Ok(Self { scheme, target: target_of(target)?, ports: ports.map(ports_of).transpose()? })
    }
}

fn scheme_of(text: &str) -> Result<Scheme, RuleError> {
    match text {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        "tcp" => Ok(Scheme::Tcp),
        "udp" => Ok(Scheme::Udp),
        _ => Err(RuleError::new(text, "is no scheme; there are http, https, tcp and udp")),
    }
}

/// Splits `target:ports`; an IPv6 target keeps its brackets.
fn split_ports(text: &str) -> Result<(&str, Option<&str>), RuleError> {
    let after_brackets = text.find(']').map_or(0, |end| end + 1);
    let (brackets, rest) = text.split_at(after_brackets);
    if brackets.is_empty() && rest.matches(':').count() > 1 {
        return Err(RuleError::new(
            text,
            format!("looks like IPv6; write it in brackets, such as `[{}]`", shown(text)),
        ));
    }
    match rest.split_once(':') {
        Some((host, ports)) if brackets.is_empty() => Ok((host, Some(ports))),
        Some(("", ports)) => Ok((brackets, Some(ports))),
        None if brackets.is_empty() || rest.is_empty() => Ok((text, None)),
        _ => Err(RuleError::new(text, "has text after the bracket; only `:port` may follow")),
    }
}

fn ports_of(text: &str) -> Result<Ports, RuleError> {
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten().filter(|port| *port > 0)
    };
    let wrong = || RuleError::new(text, "is no port; ports are 1 to 65535, a range is written `8000-8080`");
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let ports = Ports { low: port(low).ok_or_else(wrong)?, high: port(high).ok_or_else(wrong)? };
    if ports.low > ports.high {
        return Err(RuleError::new(text, "is a range that ends before it begins"));
    }
    Ok(ports)
}

fn target_of(text: &str) -> Result<Target, RuleError> {
    let wrong = |why: &str| RuleError::new(text, why);
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match network_of(inner)? {
            IpNet::V6(net) => Ok(Target::Net(IpNet::V6(net))),
            IpNet::V4(_) => Err(wrong("is IPv4 in brackets; write it without them")),
        };
    }
    let ends_in_digit = text.ends_with(|c: char| c.is_ascii_digit());
    if text.contains('/') && !(ends_in_digit && text.starts_with(|c: char| c.is_ascii_digit())) {
        return Err(wrong("has a path; egress knows hosts and ports only"));
    }
    if text.contains('/') || text.parse::<Ipv4Addr>().is_ok() {
        return network_of(text).map(Target::Net);
    }
    if text == "*" {
        return Ok(Target::AnyName);
    }
    let (is_suffix, host) = text.strip_prefix("*.").map_or((false, text), |suffix| (true, suffix));
    if host.contains('*') {
        return Err(wrong("has a `*` inside; it stands only at the front, as in `*.example.com`"));
    }
    let host = name::canonical(host).map_err(wrong)?;
    Ok(if is_suffix { Target::Below(host) } else { Target::Name(host) })
}

/// An address or CIDR of either family, without brackets. Host bits, IPv4-mapped IPv6 and the unspecified address are
/// refused: each would mean something else than it says.
pub(crate) fn network_of(text: &str) -> Result<IpNet, RuleError> {
    let wrong = |why: &str| RuleError::new(text, why);
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text
            .parse::<IpNet>()
            .map_err(|_| wrong("is neither an address nor a CIDR such as `10.0.0.0/8`"))?,
    };
    if net != net.trunc() {
        return Err(wrong(&format!("has bits set beyond its prefix; write `{}`", net.trunc())));
    }
    if matches!(net, IpNet::V6(v6) if v6.prefix_len() >= 96 && is_mapped(v6.addr())) {
        return Err(wrong("is IPv4-mapped IPv6; write the IPv4 address"));
    }
    if special::is_only_this_host(&net) {
        return Err(wrong("means this host itself and is never reached; write 127.0.0.1 or [::1]"));
    }
    Ok(net)
}

fn is_mapped(address: Ipv6Addr) -> bool {
    address.to_ipv4_mapped().is_some()
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            None => {}
            Some(Scheme::Http) => f.write_str("http://")?,
            Some(Scheme::Https) => f.write_str("https://")?,
            Some(Scheme::Tcp) => f.write_str("tcp://")?,
            Some(Scheme::Udp) => f.write_str("udp://")?,
        }
        match &self.target {
            Target::AnyName => f.write_str("*")?,
            Target::Name(name) => f.write_str(name)?,
            Target::Below(suffix) => write!(f, "*.{suffix}")?,
            Target::Net(net) => write_network(f, net)?,
        }
        match self.ports {
            None => Ok(()),
            Some(Ports { low, high }) if low == high => write!(f, ":{low}"),
            Some(Ports { low, high }) => write!(f, ":{low}-{high}"),
        }
    }
}

fn write_network(f: &mut fmt::Formatter<'_>, net: &IpNet) -> fmt::Result {
    let single = net.prefix_len() == net.max_prefix_len();
    match (net, single) {
        (IpNet::V4(v4), true) => write!(f, "{}", v4.addr()),
        (IpNet::V4(v4), false) => write!(f, "{v4}"),
        (IpNet::V6(v6), true) => write!(f, "[{}]", v6.addr()),
        (IpNet::V6(v6), false) => write!(f, "[{v6}]"),
    }
}

as_text!(Rule);
