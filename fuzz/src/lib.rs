//! What holds for every input: the properties that the fuzz targets check.

pub mod images;
pub mod parts;

use std::net::SocketAddr;

use grants::{Egress, Grants, Policy, Port, Rule, Transport, derive};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

/// A policy that bounds everything, for [`stays_within`].
pub const STRICT: &str = r#"
[limits]
memory = "64MiB"
open-files = 100
[egress]
allow = ["*.example.com:443", "10.0.0.0/8", "udp://[fd00::/8]:53", "localhost"]
deny-cidrs = ["10.96.0.0/12"]
"#;

const ADDRESSES: [&str; 16] = [
    "10.0.0.1:80",
    "10.96.0.1:443",
    "203.0.113.7:443",
    "127.0.0.1:80",
    "169.254.169.254:80",
    "0.0.0.0:80",
    "100.100.100.200:80",
    "224.0.0.1:53",
    "[::1]:80",
    "[::]:80",
    "[fe80::1]:80",
    "[fd00::1]:53",
    "[2001:db8::1]:443",
    "[::ffff:10.0.0.1]:80",
    "[::ffff:169.254.169.254]:80",
    "[64:ff9b::a9fe:a9fe]:80",
];

const NAMES: [Option<&str>; 5] =
    [None, Some("example.com"), Some("a.example.com"), Some("localhost"), Some("10.0.0.1")];

/// The smallest spec with these annotations.
pub fn spec(annotations: Value) -> Spec {
    let spec = json!({
        "ociVersion": "1.2.1",
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["/app.wasm"], "env": ["A=1"], "cwd": "/" },
        "root": { "path": "rootfs" },
        "annotations": annotations,
    });
    serde_json::from_value(spec).unwrap()
}

/// Whatever is refused is refused in one line that cannot steer a terminal, and no longer than a termination message may be
/// (4096 bytes). Of an `anyhow` error all that it has to say counts.
pub fn is_a_sentence(error: &impl std::fmt::Display) {
    let sentence = format!("{error:#}");
    assert!(!sentence.chars().any(char::is_control), "{sentence:?}");
    assert!((10..4096).contains(&sentence.len()), "{sentence}");
}

/// What holds for grants by themselves.
pub fn are_consistent(grants: &Grants) {
    let text = serde_json::to_string(grants).unwrap();
    assert!(serde_json::from_str::<Grants>(&text).unwrap() == *grants, "{text}");
    for rule in grants.egress().rules() {
        assert_eq!(&rule.to_string().parse::<Rule>().unwrap(), rule);
    }
    for port in grants.listen().ports() {
        assert_eq!(&port.to_string().parse::<Port>().unwrap(), port);
    }
    let http = grants.http();
    assert!(http.max_instances.get() <= 1000 && !http.timeout.is_zero(), "{http:?}");
    for volume in grants.volumes() {
        let place = volume.destination.to_str().unwrap();
        assert!(place.len() > 1 && place.starts_with('/') && !place.ends_with('/'), "{place}");
        assert!(place.split('/').skip(1).all(|part| !matches!(part, "" | "." | "..")), "{place}");
    }
    assert!(grants.table().chars().all(|char| char == '\n' || !char.is_control()), "{}", grants.table());
    let egress = grants.egress();
    for (to, transport, name) in attempts() {
        if allows(egress, &to, transport, name) {
            assert!(!to.ip().to_canonical().is_unspecified(), "{to}: {egress:?}");
        }
    }
}

/// What a node with `policy` gives is given by one without, and within the policy.
pub fn stays_within(spec: &Spec, policy: &Policy) {
    let Ok(given) = derive(spec, policy) else { return };
    let open = derive(spec, &Policy::default()).expect("a stricter node gave what an open one refuses");
    assert_eq!((given.args(), given.env(), given.user()), (open.args(), open.env(), open.user()));
    assert!(given.volumes() == open.volumes() && given.listen() == open.listen());
    let memory = |grants: &Grants| grants.memory_limit().unwrap_or(u64::MAX);
    assert!(memory(&given) <= memory(&open).min(policy.limits.memory.map_or(u64::MAX, |size| size.0)));
    assert!(given.open_files() <= policy.limits.open_files);
    let bound = policy.egress.allow.as_deref().map(bound);
    for (to, transport, name) in attempts() {
        if allows(given.egress(), &to, transport, name) {
            let what = format!("{to}/{transport} by {name:?}: {:?}", given.egress());
            assert!(allows(open.egress(), &to, transport, name), "more than was asked: {what}");
            assert!(
                bound.as_ref().is_none_or(|bound| allows(bound, &to, transport, name)),
                "more than the node allows: {what}"
            );
            let denied =
                |face: std::net::IpAddr| policy.egress.deny_cidrs.iter().any(|net| net.contains(&face));
            assert!(!denied(to.ip().to_canonical()), "denied by the node: {what}");
        }
    }
}

/// Values of the environment may be secrets: the table is the same whatever they are.
pub fn keeps_secrets(spec: &Spec, grants: &Grants) {
    let mut other = serde_json::to_value(spec).unwrap();
    let env = grants.env().iter().map(|(name, _)| format!("{name}=another value"));
    other["process"]["env"] = env.collect();
    let other = derive(&serde_json::from_value(other).unwrap(), &Policy::default()).unwrap();
    assert_eq!(grants.table(), other.table());
}

/// The egress that a node's own bound amounts to.
fn bound(rules: &[Rule]) -> Egress {
    let list = rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    derive(&spec(json!({ "run.wasm/egress": list })), &Policy::default()).unwrap().egress().clone()
}

fn attempts() -> impl Iterator<Item = (SocketAddr, Transport, Option<&'static str>)> {
    let addresses = ADDRESSES.iter().map(|address| address.parse().unwrap());
    addresses.flat_map(|to: SocketAddr| {
        NAMES
            .into_iter()
            .flat_map(move |name| [Transport::Tcp, Transport::Udp].map(|transport| (to, transport, name)))
    })
}

fn allows(egress: &Egress, to: &SocketAddr, transport: Transport, name: Option<&str>) -> bool {
    egress.allows(to, transport, name)
}
