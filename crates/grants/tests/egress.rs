//! What an egress list opens, and what it does not open by the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;

use grants::Transport::{Tcp, Udp};
use grants::{Egress, Policy, derive};
use support::{annotated, granted, refused_by, spec};

fn egress(list: &str) -> Egress {
    granted(annotated("run.wasm/egress", list)).egress().clone()
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// Whether a guest that brings this address itself gets through.
fn raw(egress: &Egress, address: &str) -> bool {
    egress.allows(&at(address), Tcp, None)
}

#[test]
fn a_name_opens_its_addresses_only_to_who_asked_for_the_name() {
    let egress = egress("api.example.com:443");
    let to = at("203.0.113.7:443");
    assert!(egress.allows(&to, Tcp, Some("api.example.com")));
    assert!(egress.allows(&to, Tcp, Some("API.example.COM.")));
    assert!(!egress.allows(&to, Tcp, None), "a raw address");
    assert!(!egress.allows(&to, Tcp, Some("example.com")));
    assert!(!egress.allows(&at("203.0.113.7:80"), Tcp, Some("api.example.com")));
    assert!(egress.allows_name("api.example.com") && egress.allows_name("Api.Example.Com."));
    assert!(!egress.allows_name("example.com") && !egress.allows_name("xapi.example.com"));
}

#[test]
fn a_wildcard_opens_what_is_below_it_but_not_itself() {
    let egress = egress("*.example.com");
    assert!(egress.allows_name("a.example.com") && egress.allows_name("a.b.example.com"));
    for name in ["example.com", ".example.com", "notexample.com", "a.example.com.evil.org"] {
        assert!(!egress.allows_name(name), "{name}");
    }
}

#[test]
fn a_star_opens_names_but_no_raw_address() {
    let egress = egress("*:443");
    assert!(egress.allows_name("anything.example.org"));
    assert!(egress.allows(&at("203.0.113.7:443"), Tcp, Some("anything.example.org")));
    assert!(!raw(&egress, "203.0.113.7:443"));
    for spelled in ["203.0.113.7", "[::1]", "::1", "0x7f.1", "127.1", "2130706433", "0177.0.0.1"] {
        assert!(!egress.allows_name(spelled), "{spelled}");
        assert!(!egress.allows(&at("203.0.113.7:443"), Tcp, Some(spelled)), "{spelled}");
    }
}

#[test]
fn networks_and_port_ranges_open_what_they_say() {
    let egress = egress("10.0.0.0/8:5432, 192.0.2.1, [fd00::/8]:8000-8080, [2001:db8::1]:53");
    for open in [
        "10.1.2.3:5432",
        "192.0.2.1:1",
        "192.0.2.1:65535",
        "[fd12::1]:8000",
        "[fd12::1]:8080",
        "[2001:db8::1]:53",
    ] {
        assert!(raw(&egress, open), "{open}");
    }
    for closed in
        ["10.1.2.3:5433", "11.0.0.1:5432", "192.0.2.2:1", "192.0.2.1:0", "[fd12::1]:8081", "[2001:db8::2]:53"]
    {
        assert!(!raw(&egress, closed), "{closed}");
    }
    assert!(!egress.allows_name("a.example.com"), "networks open no lookup");
}

#[test]
fn a_scheme_means_a_transport_and_a_port() {
    let to = |egress: &Egress, port, transport| {
        egress.allows(&SocketAddr::new([192, 0, 2, 1].into(), port), transport, None)
    };
    for (rule, tcp, udp) in [
        ("https://192.0.2.1", vec![443], vec![]),
        ("http://192.0.2.1", vec![80], vec![]),
        ("https://192.0.2.1:8443", vec![8443], vec![]),
        ("udp://192.0.2.1:53", vec![], vec![53]),
        ("tcp://192.0.2.1:53", vec![53], vec![]),
        ("192.0.2.1:53", vec![53], vec![53]),
    ] {
        let egress = egress(rule);
        for port in [53, 80, 443, 8443] {
            assert_eq!(to(&egress, port, Tcp), tcp.contains(&port), "{rule} {port}/tcp");
            assert_eq!(to(&egress, port, Udp), udp.contains(&port), "{rule} {port}/udp");
        }
    }
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_that_address() {
    let ten = egress("10.0.0.0/8");
    assert!(raw(&ten, "[::ffff:10.0.0.1]:80"));
    assert!(!raw(&ten, "[::ffff:192.0.2.1]:80"));
    assert!(!raw(&egress("[::/0]"), "[::ffff:10.0.0.1]:80"), "IPv6 rules are about IPv6");
}

#[test]
fn this_host_is_never_reached() {
    for rule in ["0.0.0.0/0, [::/0]", "127.0.0.0/8, [::1]", "*, localhost"] {
        let egress = egress(rule);
        for address in ["0.0.0.0:80", "0.1.2.3:80", "[::]:80", "[::ffff:0.0.0.0]:80", "[64:ff9b::]:80"] {
            assert!(!egress.allows(&at(address), Tcp, Some("localhost")), "{rule} {address}");
            assert!(!raw(&egress, address), "{rule} {address}");
        }
    }
}

#[test]
fn special_addresses_need_a_rule_that_names_them_by_address() {
    let wide = egress("0.0.0.0/0, [::/0], *, *.example.com, rebound.example.com");
    for special in [
        "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80",
        "[64:ff9b::169.254.169.254]:80",
        "[fe80::1]:80",
        "127.0.0.1:80",
        "127.9.9.9:80",
        "[::1]:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "[ff02::1]:80",
        "[fd00:ec2::254]:80",
        "100.100.100.200:80",
        "168.63.129.16:80",
    ] {
        assert!(!raw(&wide, special), "{special}");
        assert!(
            !wide.allows(&at(special), Tcp, Some("rebound.example.com")),
            "{special} by a name that points there"
        );
    }
    assert!(
        raw(&wide, "203.0.113.7:80")
            && raw(&wide, "[2001:db8::1]:80")
            && raw(&wide, "[64:ff9b::203.0.113.7]:80")
    );
    let named = egress("169.254.169.254:80, [fe80::/10], 127.0.0.1:15001, 224.0.0.0/4");
    for open in [
        "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80",
        "[fe80::1]:1",
        "127.0.0.1:15001",
        "224.0.0.251:5353",
    ] {
        assert!(raw(&named, open), "{open}");
    }
    assert!(!raw(&named, "169.254.169.253:80") && !raw(&named, "127.0.0.1:15000"));
}

#[test]
fn localhost_by_name_is_loopback_and_no_other_name_is() {
    let egress = egress("localhost:8080, db.example.com");
    assert!(egress.allows(&at("127.0.0.1:8080"), Tcp, Some("localhost")));
    assert!(egress.allows(&at("[::1]:8080"), Tcp, Some("localhost")));
    assert!(!egress.allows(&at("127.0.0.1:8080"), Tcp, Some("db.example.com")));
    assert!(!raw(&egress, "127.0.0.1:8080"));
}

#[test]
fn rules_print_in_one_form() {
    for (given, printed) in [
        (" API.Example.com.:443 ", "api.example.com:443"),
        ("*.Example.com:80-80", "*.example.com:80"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("[FD00:0::1/128]:1-2", "[fd00::1]:1-2"),
        ("https://a.example.com", "https://a.example.com"),
        ("_srv._tcp.example.com", "_srv._tcp.example.com"),
        ("a.example.com,\n  b.example.com", "a.example.com, b.example.com"),
    ] {
        let rules: Vec<_> = egress(given).rules().iter().map(ToString::to_string).collect();
        assert_eq!(rules.join(", "), printed);
    }
}

#[test]
fn a_pod_cannot_ask_for_more_than_its_node_allows() {
    let policy = Policy::parse(
        "[egress]\nallow = [\"*.example.com:443\", \"tcp://10.0.0.0/8\", \"0.0.0.0/0:53\", \"localhost\"]",
    )
    .unwrap();
    for asked in [
        "a.example.com:443",
        "*.b.example.com:443",
        "https://a.example.com",
        "tcp://10.1.0.0/16:5432",
        "10.0.0.1:53",
        "localhost:1",
    ] {
        assert!(derive(&spec(annotated("run.wasm/egress", asked)), &policy).is_ok(), "{asked}");
    }
    for asked in [
        "example.com:443",
        "a.example.com",
        "a.example.com:442-443",
        "*:443",
        "*.com:443",
        "10.0.0.1",
        "udp://10.0.0.1",
        "0.0.0.0/0",
        "169.254.169.254:53",
        "[::1]:53",
        "127.0.0.1:53",
    ] {
        let sentence = refused_by(annotated("run.wasm/egress", asked), &policy);
        assert!(
            sentence.contains("is more than this node allows (`egress.allow` in its config)"),
            "{asked}: {sentence}"
        );
    }
    let none = Policy::parse("[egress]\nallow = []").unwrap();
    assert!(
        refused_by(annotated("run.wasm/egress", "a.example.com"), &none)
            .contains("more than this node allows")
    );
    assert!(derive(&spec(annotated("run.wasm/egress", "")), &none).is_ok());
}

#[test]
fn denied_networks_stay_closed_whatever_name_leads_there() {
    let policy = Policy::parse("[egress]\ndeny-cidrs = [\"10.96.0.0/12\", \"fd00::/8\"]").unwrap();
    let grants =
        derive(&spec(annotated("run.wasm/egress", "10.0.0.0/8, a.example.com, [::/0]")), &policy).unwrap();
    let egress = grants.egress();
    assert!(raw(egress, "10.1.0.1:443"));
    for denied in ["10.96.0.1:443", "[::ffff:10.96.0.1]:443", "[fd00::1]:443", "[64:ff9b::10.96.0.1]:443"] {
        assert!(!raw(egress, denied), "{denied}");
        assert!(!egress.allows(&at(denied), Tcp, Some("a.example.com")), "{denied}");
    }
    let sentence = refused_by(annotated("run.wasm/egress", "10.96.0.1:443"), &policy);
    assert!(
        sentence.contains("`10.96.0.1:443` is denied on this node (`egress.deny-cidrs` in its config)"),
        "{sentence}"
    );
}

#[test]
fn what_is_denied_says_what_would_allow_it() {
    let none = egress("");
    for (to, transport, name, rule) in [
        ("10.0.0.1:80", Tcp, None, "10.0.0.1:80"),
        ("10.0.0.1:53", Udp, None, "udp://10.0.0.1:53"),
        ("[2001:db8::1]:443", Tcp, None, "[2001:db8::1]:443"),
        ("[::ffff:10.0.0.1]:80", Tcp, None, "10.0.0.1:80"),
        ("203.0.113.7:443", Tcp, Some("API.example.com."), "api.example.com:443"),
        ("203.0.113.7:443", Tcp, Some("not a name"), "203.0.113.7:443"),
        ("127.0.0.1:80", Tcp, Some("localhost"), "localhost:80"),
        ("169.254.169.254:80", Tcp, Some("rebound.example.com"), "169.254.169.254:80"),
    ] {
        assert_eq!(none.cure(&at(to), transport, name), format!("run.wasm/egress: \"{rule}\" allows it"));
        assert!(egress(rule).allows(&at(to), transport, name), "{rule} does not allow {to}");
    }
    assert_eq!(none.cure_name("Db.store.", None), "run.wasm/egress: \"db.store\" allows it");
    assert!(none.cure_name("127.1", Some(80)).starts_with("no grant allows it: `127.1` is not"));
    for this_host in ["0.0.0.0:80", "[::]:80"] {
        assert!(none.cure(&at(this_host), Tcp, None).starts_with("no grant allows it: it means this host"));
    }
    let policy = Policy::parse("[egress]\ndeny-cidrs = [\"10.96.0.0/12\"]").unwrap();
    let bounded = derive(&spec(annotated("run.wasm/egress", "0.0.0.0/0")), &policy).unwrap();
    assert_eq!(
        bounded.egress().cure(&at("10.96.0.1:443"), Tcp, None),
        "the node's config forbids it (`egress.deny-cidrs`)"
    );
}
