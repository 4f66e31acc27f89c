//! What holds for every input.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::{IpAddr, SocketAddr};

use grants::{Egress, Grants, Policy, Port, Rule, Transport, derive};
use proptest::prelude::*;
use serde_json::json;
use support::{annotated, spec};

/// Text that is nearly right more often than noise is.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("*."),
        Just("*"),
        Just("a.example.com"),
        Just("10.0.0.0/8"),
        Just("["),
        Just("]"),
        Just("fd00::/8"),
        Just(":"),
        Just("-"),
        Just("443"),
        Just("99999"),
        Just("://"),
        Just("https"),
        Just("/"),
        Just(","),
        Just(" "),
        Just("0"),
        Just("é"),
        Just("#"),
        Just("tcp"),
        Just("\u{0}"),
        Just("%"),
    ];
    prop_oneof![prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat()), any::<String>()]
}

fn address() -> impl Strategy<Value = SocketAddr> {
    // Few addresses, so that rules and attempts meet, beside any at all.
    let known = prop::sample::select(vec![
        "10.0.0.1",
        "10.96.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "203.0.113.7",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "2001:db8::1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
    ]);
    let address =
        prop_oneof![3 => known.prop_map(|text| text.parse::<IpAddr>().unwrap()), 1 => any::<IpAddr>()];
    let port = prop_oneof![Just(0), Just(53), Just(80), Just(443), any::<u16>()];
    (address, port).prop_map(SocketAddr::from)
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "example.com",
        "a.example.com",
        "b.a.example.com",
        "localhost",
        "10.0.0.1",
        "x.org",
    ])
    .prop_map(str::to_owned)
}

/// A right rule.
fn rule() -> impl Strategy<Value = String> {
    let v4 = (any::<u32>(), 0..=32u8)
        .prop_map(|(bits, prefix)| format!("{}", ipnet::Ipv4Net::new(bits.into(), prefix).unwrap().trunc()));
    let v6 = (any::<u128>(), 0..=95u8).prop_map(|(bits, prefix)| {
        format!("[{}]", ipnet::Ipv6Net::new(bits.into(), prefix).unwrap().trunc())
    });
    let known = prop::sample::select(vec![
        "*",
        "*.example.com",
        "*.a.example.com",
        "a.example.com",
        "localhost",
        "10.0.0.0/8",
        "10.96.0.0/12",
        "0.0.0.0/0",
        "169.254.169.254",
        "169.254.0.0/16",
        "127.0.0.1",
        "[::/0]",
        "[fe80::/10]",
        "[fd00::/8]",
    ]);
    let target = prop_oneof![4 => known.prop_map(str::to_owned), 1 => v4, 1 => v6];
    let scheme = prop::sample::select(vec!["", "", "", "http://", "https://", "tcp://", "udp://"]);
    let range = (1..=u16::MAX, 1..=u16::MAX).prop_map(|(a, b)| format!(":{}-{}", a.min(b), a.max(b)));
    let ports = prop_oneof![2 => Just(String::new()), 1 => Just(":443".to_owned()), 1 => range];
    (scheme, target, ports)
        .prop_map(|(scheme, target, ports)| format!("{scheme}{target}{ports}"))
        // Networks that only hold this very host are no right rules.
        .prop_filter("a rule", |text| text.parse::<Rule>().is_ok())
}

fn attempt() -> impl Strategy<Value = (SocketAddr, Transport, Option<String>)> {
    (address(), prop_oneof![Just(Transport::Tcp), Just(Transport::Udp)], prop::option::of(name()))
}

fn allows(egress: &Egress, (to, transport, name): &(SocketAddr, Transport, Option<String>)) -> bool {
    egress.allows(to, *transport, name.as_deref())
}

fn egress(rules: &[String], policy: &Policy) -> Option<Egress> {
    derive(&spec(annotated("run.wasm/egress", &rules.join(", "))), policy)
        .ok()
        .map(|grants| grants.egress().clone())
}

fn policy(allow: Option<&[String]>, deny: &[&str]) -> Policy {
    let allow = allow.map(|rules| format!("allow = {}\n", json!(rules))).unwrap_or_default();
    Policy::parse(&format!("[egress]\n{allow}deny-cidrs = {}", json!(deny))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn no_text_makes_a_parser_panic(text in nearly(), key in nearly()) {
        let annotation = |key: &str| derive(&spec(annotated(key, &text)), &Policy::default());
        for key in ["run.wasm/egress", "run.wasm/listen", "run.wasm/mode", "io.kubernetes.container.ports",
                    "io.kubernetes.container.terminationMessagePath", &format!("run.wasm/{key}")] {
            if let Err(error) = annotation(key) {
                let sentence = error.to_string();
                prop_assert!(!sentence.chars().any(char::is_control), "{sentence}");
                prop_assert!(sentence.contains("run.wasm/") || sentence.contains("io.kubernetes."), "{sentence}");
            }
        }
        let _ = Policy::parse(&text);
        let mount = json!({ "destination": text, "type": key, "source": text, "options": [key, text] });
        let _ = derive(&spec(support::mounted(mount)), &Policy::default());
    }

    #[test]
    fn what_is_parsed_prints_and_parses_back_the_same(text in prop_oneof![nearly(), rule()], number in 1..=u16::MAX) {
        if let Ok(rule) = text.parse::<Rule>() {
            prop_assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
        }
        for text in [text, format!("{number}/udp"), format!(" {number} ")] {
            if let Ok(port) = text.parse::<Port>() {
                prop_assert_eq!(port.to_string().parse::<Port>().unwrap(), port);
            }
        }
    }

    #[test]
    fn a_stricter_node_never_gives_more(
        asked in prop::collection::vec(rule(), 0..4),
        bound in prop::collection::vec(rule(), 0..4),
        attempts in prop::collection::vec(attempt(), 16),
    ) {
        let open = egress(&asked, &Policy::default()).unwrap();
        let upper = egress(&bound, &Policy::default()).unwrap();
        let strict = policy(Some(&bound), &["10.96.0.0/12", "fd00::/8"]);
        if let Some(given) = egress(&asked, &strict) {
            for attempt in &attempts {
                if allows(&given, attempt) {
                    prop_assert!(allows(&open, attempt), "more than was asked: {attempt:?}");
                    prop_assert!(allows(&upper, attempt), "more than the bound: {attempt:?}");
                }
                if let Some(name) = &attempt.2 && given.allows_name(name) {
                    prop_assert!(open.allows_name(name) && upper.allows_name(name), "{name}");
                }
            }
        }
        // The node's own bound is always within itself.
        prop_assert!(egress(&bound, &policy(Some(&bound), &[])).is_some());
    }

    #[test]
    fn stricter_limits_never_give_more(memory in any::<i64>(), files in any::<u64>(), node_memory in 1..u64::MAX >> 1, node_files in 1..u64::MAX >> 1) {
        let spec = spec(json!({
            "process": { "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": files, "soft": files }] },
            "linux": { "resources": { "memory": { "limit": memory } } },
        }));
        let text = format!("[limits]\nmemory = {node_memory}\nopen-files = {node_files}");
        let strict = derive(&spec, &Policy::parse(&text).unwrap()).unwrap();
        let open = derive(&spec, &Policy::default()).unwrap();
        prop_assert!(strict.memory_limit().unwrap() <= open.memory_limit().unwrap_or(u64::MAX).min(node_memory));
        prop_assert!(strict.open_files() <= files.min(node_files));
    }

    #[test]
    fn without_an_egress_annotation_nothing_is_allowed(attempt in attempt(), name in any::<String>(), port in any::<u16>()) {
        let grants = derive(&support::real("ctr-run"), &Policy::default()).unwrap();
        prop_assert!(!allows(grants.egress(), &attempt) && !grants.egress().allows_name(&name));
        prop_assert!(!grants.listen().allows(port, Transport::Tcp) && !grants.listen().allows(port, Transport::Udp));
    }

    #[test]
    fn no_name_leads_to_a_metadata_service(rules in prop::collection::vec(rule(), 0..4), to in attempt()) {
        let (to, transport, name) = to;
        let rules: Vec<String> = rules.into_iter().filter(|rule| rule.contains("example") || rule.contains('*')).collect();
        for special in ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "64:ff9b::a9fe:a9fe"] {
            let to = (SocketAddr::new(special.parse().unwrap(), to.port()), transport, name.clone());
            prop_assert!(!allows(&egress(&rules, &Policy::default()).unwrap(), &to), "{to:?} by {rules:?}");
        }
    }

    #[test]
    fn arguments_and_environment_arrive_as_they_are(
        args in prop::collection::vec("[^\u{0}#]{0,20}", 0..20),
        env in prop::collection::btree_map("[^=\u{0}]{1,8}", "[^\u{0}]{0,20}", 0..20),
    ) {
        let entries: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let grants = derive(&spec(json!({ "process": { "args": args, "env": entries } })), &Policy::default()).unwrap();
        prop_assert_eq!(grants.args(), args);
        prop_assert_eq!(grants.env(), env.into_iter().collect::<Vec<_>>());
        let text = serde_json::to_string(&grants).unwrap();
        prop_assert_eq!(serde_json::from_str::<Grants>(&text).unwrap(), grants);
    }

    #[test]
    fn neither_table_shows_what_may_be_a_secret(secrets in prop::collection::vec("[G-Z]{12}", 1..5)) {
        let env: Vec<String> = secrets.iter().enumerate().map(|(n, secret)| format!("e{n}={secret}")).collect();
        let args: Vec<String> = std::iter::once("/a.wasm".to_owned()).chain(secrets.clone()).collect();
        let change = json!({ "process": { "env": env, "args": args } });
        let grants = derive(&spec(change), &Policy::default()).unwrap();
        for secret in &secrets {
            prop_assert!(!grants.table().contains(secret) && !grants.line().contains(secret), "{}", grants.table());
            let debug = format!("{grants:?}");
            prop_assert!(!debug.contains(secret), "{debug}");
        }
    }

    #[test]
    fn every_volume_lies_below_the_root(destination in "(/|\\.|\\.\\.|[a-z]){0,12}") {
        let mount = json!({ "destination": destination, "type": "bind", "source": "/srv", "options": ["rbind"] });
        if let Ok(grants) = derive(&spec(support::mounted(mount)), &Policy::default()) {
            for volume in grants.volumes() {
                let place = volume.destination.to_str().unwrap();
                prop_assert!(place.len() > 1 && place.starts_with('/') && !place.ends_with('/'));
                prop_assert!(place.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != ".."));
            }
        }
    }
}
