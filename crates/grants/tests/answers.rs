//! What a lookup opens, and for how long.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use grants::Transport::{Tcp, Udp};
use grants::{Answers, Egress, Policy, derive};
use proptest::prelude::*;
use support::{annotated, granted, spec};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn egress(list: &str) -> Egress {
    granted(annotated("run.wasm/egress", list)).egress().clone()
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn told(name: &str, addresses: &[&str]) -> Answers {
    let mut answers = Answers::default();
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    answers.tell(name, &addresses, Instant::now());
    answers
}

fn reaches(egress: &Egress, to: &str, answers: &mut Answers) -> bool {
    egress.reaches(&at(to), Tcp, answers, Instant::now())
}

#[test]
fn an_address_is_reached_by_who_asked_for_its_name() {
    let egress = egress("api.example.com:443");
    let mut answers = told("Api.Example.Com.", &["203.0.113.7", "2001:db8::7"]);
    for open in ["203.0.113.7:443", "[2001:db8::7]:443", "[::ffff:203.0.113.7]:443"] {
        assert!(reaches(&egress, open, &mut answers), "{open}");
        assert!(!reaches(&egress, open, &mut Answers::default()), "{open} by who did not ask");
    }
    for closed in ["203.0.113.7:80", "203.0.113.8:443"] {
        assert!(!reaches(&egress, closed, &mut answers), "{closed}");
    }
}

#[test]
fn an_address_of_another_name_stays_closed() {
    let egress = egress("tcp://api.example.com");
    assert!(!reaches(&egress, "203.0.113.7:443", &mut told("www.example.com", &["203.0.113.7"])));
    let mut both = told("www.example.com", &["203.0.113.7"]);
    both.tell("api.example.com", &["203.0.113.7".parse().unwrap()], Instant::now());
    assert!(reaches(&egress, "203.0.113.7:443", &mut both), "one of the names suffices");
    assert!(!egress.reaches(&at("203.0.113.7:443"), Udp, &mut both, Instant::now()));
}

#[test]
fn a_rebound_name_opens_nothing_special_and_nothing_denied() {
    let policy = Policy::parse("[egress]\ndeny-cidrs = [\"10.96.0.0/12\"]").unwrap();
    let grants = derive(&spec(annotated("run.wasm/egress", "*, rebound.example.com")), &policy).unwrap();
    let everywhere = [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "10.96.0.1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::10.96.0.1",
        "64:ff9b:1::169.254.169.254",
        "2002:7f00:1::1",
    ];
    let mut answers = told("rebound.example.com", &everywhere);
    for address in everywhere {
        let to = SocketAddr::new(address.parse().unwrap(), 80);
        assert!(!grants.egress().reaches(&to, Tcp, &mut answers, Instant::now()), "{to}");
    }
}

#[test]
fn an_answer_outlives_its_record_and_not_a_day_without_use() {
    let egress = egress("api.example.com");
    let (mut answers, start) = (Answers::default(), Instant::now());
    answers.tell("api.example.com", &["203.0.113.7".parse().unwrap()], start);
    let mut reaches =
        |hour: u32| egress.reaches(&at("203.0.113.7:443"), Tcp, &mut answers, start + HOUR * hour);
    assert!(reaches(23));
    assert!(reaches(46), "it was used");
    assert!(!reaches(71));
    assert!(answers.is_empty());
}

#[test]
fn of_too_many_answers_the_unused_go() {
    let egress = egress("*");
    let mut answers = told("first.example.com", &["203.0.113.1"]);
    answers.tell("second.example.com", &["203.0.113.2".parse().unwrap()], Instant::now());
    for number in 0..2000u32 {
        answers.tell(
            "many.example.com",
            &[IpAddr::from((0x0b00_0000 + number).to_be_bytes())],
            Instant::now(),
        );
        assert!(reaches(&egress, "203.0.113.1:80", &mut answers), "it is in use");
    }
    assert!(answers.len() <= 1024);
    assert!(!reaches(&egress, "203.0.113.2:80", &mut answers));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    /// Whatever was told, an address is reached only by a rule for it or by one for a name that gave it.
    #[test]
    fn nothing_is_reached_that_nobody_named(
        told in prop::collection::vec(("[ab]\\.(example|other)", 0..4u8), 0..8), to in 0..4u8, port in 440..446u16,
    ) {
        let egress = egress("a.example:443, *.other:444-445");
        let address = |last| IpAddr::from([203, 0, 113, last]);
        let (mut answers, now) = (Answers::default(), Instant::now());
        told.iter().for_each(|(name, last)| answers.tell(name, &[address(*last)], now));
        let named = told.iter().any(|(name, last)| {
            *last == to && ((name == "a.example" && port == 443) || (name.ends_with(".other") && (444..=445).contains(&port)))
        });
        prop_assert_eq!(egress.reaches(&SocketAddr::new(address(to), port), Tcp, &mut answers, now), named);
    }
}
