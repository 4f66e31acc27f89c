//! The examples of docs/grants.md are right.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use grants::{Clock, Policy, Profile, derive};
use serde_json::{Map, Value, json};
use support::spec;

const PAGE: &str = include_str!("../../../docs/grants.md");

/// The text of the only block of this language.
fn block(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_annotations_of_the_page_are_granted() {
    let mut annotations = Map::new();
    for line in block("yaml").lines() {
        let (name, value) = line.split_once(": ").unwrap();
        annotations.insert(name.to_owned(), Value::from(value.trim_matches('"')));
    }
    assert!(annotations.len() > 3);
    annotations.insert("io.kubernetes.cri.container-name".to_owned(), "sidecar".into());
    let grants = derive(&spec(json!({ "annotations": annotations })), &Policy::default()).unwrap();
    assert_eq!(grants.egress().rules().len(), 2, "the sidecar's own");
    assert_eq!(grants.listen().ports().len(), 2);
    assert_eq!((grants.profile(), grants.clock()), (Profile::Standard, Clock::Frozen));
    assert_eq!(grants.timeout(), Some(Duration::from_secs(300)));
}

#[test]
fn the_config_of_the_page_is_read_and_its_defaults_are_the_defaults() {
    let mut policy = Policy::parse(block("toml")).unwrap();
    assert!(
        policy.limits.memory.is_some()
            && policy.limits.timeout.is_some()
            && policy.egress.allow.is_some()
            && !policy.jail.require.is_empty()
    );
    policy.limits.memory = None;
    policy.limits.timeout = None;
    policy.jail = Policy::default().jail;
    policy.egress = Policy::default().egress;
    assert_eq!(policy, Policy::default());
}
