//! The strict profile, clocks, randomness and timeouts: what is granted, what the node bounds, and what contradicts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use grants::{Clock, Policy, Profile, Random, derive};
use serde_json::{Value, json};
use support::{annotated, granted, refused, refused_by, spec};

fn annotations(all: &[(&str, &str)]) -> Value {
    let all = all.iter().map(|(key, value)| (format!("run.wasm/{key}"), Value::from(*value)));
    json!({ "annotations": all.collect::<serde_json::Map<_, _>>() })
}

#[test]
fn without_annotations_a_guest_has_time_and_chance_and_no_end() {
    let grants = granted(json!({}));
    assert_eq!(
        (grants.profile(), grants.clock(), grants.random(), grants.timeout(), grants.fuel()),
        (Profile::Standard, Clock::Real, Random::Real, None, None)
    );
}

#[test]
fn strict_takes_clock_randomness_and_endless_computing_away() {
    let grants = granted(annotated("run.wasm/profile", "strict"));
    assert_eq!(
        (grants.profile(), grants.clock(), grants.random(), grants.timeout(), grants.fuel()),
        (Profile::Strict, Clock::Deny, Random::Deny, None, Some(1_000_000_000_000))
    );
}

#[test]
fn strict_gives_back_what_is_the_same_on_every_run() {
    let grants = granted(annotations(&[("profile", "strict"), ("clock", "frozen"), ("random", "seed:7")]));
    assert_eq!((grants.clock(), grants.random()), (Clock::Frozen, Random::Seed(7)));
    let one = granted(annotations(&[("profile", "strict"), ("clock", "frozen")]));
    assert_eq!((one.clock(), one.random()), (Clock::Frozen, Random::Deny));
}

#[test]
fn strict_refuses_what_differs_from_run_to_run() {
    assert_eq!(
        refused(annotations(&[("profile", "strict"), ("clock", "real")])),
        "annotation run.wasm/clock: `real` differs from run to run, and the strict profile does not; write `frozen`, or \
         run.wasm/profile: standard; a right one is `run.wasm/clock: \"frozen\"`"
    );
    assert!(
        refused(annotations(&[("profile", "strict"), ("random", "real")])).contains("write `seed:<number>`")
    );
}

#[test]
fn strict_and_a_network_contradict_each_other() {
    let because = "and the strict profile has no network: what comes from it differs from run to run; remove it, or \
                   write run.wasm/profile: standard";
    assert_eq!(
        refused(annotations(&[("profile", "strict"), ("egress", "10.0.0.1:80")])),
        format!("the container asks for connections (run.wasm/egress), {because}")
    );
    let listening = format!("the container asks for listening (its ports, or run.wasm/listen), {because}");
    assert_eq!(refused(annotations(&[("profile", "strict"), ("listen", "80")])), listening);
    let declared = json!({ "annotations": {
        "run.wasm/profile": "strict",
        "io.kubernetes.container.ports": r#"[{"containerPort":8080}]"#,
    }});
    assert_eq!(refused(declared), listening);
    assert!(!granted(annotations(&[("profile", "strict"), ("egress", "")])).uses_network());
}

#[test]
fn in_the_standard_profile_each_is_chosen_alone() {
    for (word, clock) in [("real", Clock::Real), ("frozen", Clock::Frozen), ("deny", Clock::Deny)] {
        assert_eq!(granted(annotated("run.wasm/clock", word)).clock(), clock);
    }
    let most = format!("seed:{}", u64::MAX);
    for (word, random) in [
        ("real", Random::Real),
        ("deny", Random::Deny),
        ("seed:0", Random::Seed(0)),
        (most.as_str(), Random::Seed(u64::MAX)),
    ] {
        let grants = granted(annotated("run.wasm/random", word));
        assert_eq!((grants.random(), grants.random().to_string()), (random, word.to_owned()));
    }
}

#[test]
fn one_container_of_a_pod_may_be_strict() {
    let of = |container: &str| {
        let spec = spec(json!({ "annotations": {
            "io.kubernetes.cri.container-name": container,
            "run.wasm/proof.profile": "strict",
            "run.wasm/proof.random": "seed:1",
            "run.wasm/timeout": "5m",
            "run.wasm/proof.timeout": "1s",
        }}));
        let grants = derive(&spec, &Policy::default()).unwrap();
        (grants.profile(), grants.random(), grants.timeout().unwrap().as_secs())
    };
    assert_eq!(of("proof"), (Profile::Strict, Random::Seed(1), 1));
    assert_eq!(of("web"), (Profile::Standard, Random::Real, 300));
}

#[test]
fn timeouts_are_written_as_people_write_times() {
    for (text, milliseconds) in [
        ("30s", 30_000),
        ("500ms", 500),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("1m30s", 90_000),
        ("90", 90_000),
    ] {
        let timeout = granted(annotated("run.wasm/timeout", text)).timeout();
        assert_eq!(timeout, Some(Duration::from_millis(milliseconds)), "{text}");
    }
}

#[test]
fn mistakes_name_the_part_and_show_a_right_one() {
    for (key, value, why) in [
        (
            "profile",
            "stric",
            "`stric` is no profile; there are standard and strict; a right one is `run.wasm/profile: ",
        ),
        ("clock", "", "`` is no clock; there are real, frozen and deny; a right one is `run.wasm/clock: "),
        ("random", "42", "`42` is no source; there are real, seed:<number> and deny; a right one is "),
        (
            "random",
            "seed:",
            "`` is no seed; seeds are whole numbers from 0 to 18446744073709551615; a right one is ",
        ),
        ("random", "seed:+1", "`+1` is no seed"),
        ("random", "seed:99999999999999999999", "`99999999999999999999` is no seed"),
        (
            "timeout",
            "soon",
            "`soon` is not a time such as \"90s\", \"5m\", \"500ms\" or a number of seconds; a right one is ",
        ),
        ("timeout", "0s", "`0s` is not a time such as"),
        ("timeout", "1s30", "`1s30` is not a time such as"),
        ("timeout", "-1s", "`-1s` is not a time such as"),
        ("timeout", "1.5h", "`1.5h` is not a time such as"),
        ("timeout", "99999999999999999h", "`99999999999999999h` is not a time such as"),
    ] {
        let sentence = refused(annotated(&format!("run.wasm/{key}"), value));
        assert!(sentence.starts_with(&format!("annotation run.wasm/{key}: {why}")), "{sentence}");
    }
}

#[test]
fn the_node_bounds_the_profile_the_timeout_and_the_fuel() {
    let policy = |text| Policy::parse(text).unwrap();
    let strict = policy("profiles = [\"strict\"]");
    assert_eq!(derive(&spec(json!({})), &strict).unwrap().profile(), Profile::Strict, "the node's default");
    assert_eq!(
        refused_by(annotated("run.wasm/profile", "standard"), &strict),
        "annotation run.wasm/profile: `standard` is not among this node's `profiles`; a right one is \
         `run.wasm/profile: \"strict\"`"
    );
    let limits = policy("[limits]\ntimeout = \"1m\"\nfuel = 1000");
    let of = |change| derive(&spec(change), &limits).unwrap();
    assert_eq!(of(json!({})).timeout(), Some(Duration::from_secs(60)));
    assert_eq!(of(annotated("run.wasm/timeout", "1s")).timeout(), Some(Duration::from_secs(1)));
    assert_eq!(of(annotated("run.wasm/timeout", "1h")).timeout(), Some(Duration::from_secs(60)));
    assert_eq!(of(json!({})).fuel(), None);
    assert_eq!(of(annotated("run.wasm/profile", "strict")).fuel(), Some(1000));
}

#[test]
fn the_table_says_what_a_guest_may_depend_on() {
    let table = granted(annotations(&[
        ("profile", "strict"),
        ("clock", "frozen"),
        ("random", "seed:7"),
        ("timeout", "90s"),
    ]))
    .table();
    for line in [
        "timeout    90s\n",
        "fuel       1000000000000 units\n",
        "profile    strict\n",
        "clock      frozen\n",
        "random     seed:7\n",
    ] {
        assert!(table.contains(line), "{line} is not in\n{table}");
    }
}
