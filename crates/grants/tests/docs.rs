//! The examples of docs/grants.md are right, and docs/pod-spec.md says what the code does.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use grants::verdicts::{FIELDS, verdict};
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
    let mounts = json!([{ "type": "bind", "source": "/srv", "destination": "/dumps" }]);
    let node = Policy::parse(block("toml")).unwrap();
    let policy = Policy { limits: node.limits, ..Policy::default() };
    let grants = derive(&spec(json!({ "annotations": annotations, "mounts": mounts })), &policy).unwrap();
    assert_eq!(grants.egress().rules().len(), 2, "the sidecar's own");
    assert_eq!(grants.listen().ports().len(), 2);
    assert_eq!((grants.profile(), grants.clock()), (Profile::Standard, Clock::Frozen));
    assert_eq!((grants.http().port.get(), grants.http().max_body), (8080, Some(10 << 20)));
    assert_eq!(grants.timeout(), Some(Duration::from_secs(300)));
    assert_eq!(grants.coredump().unwrap().path, "/dumps/core.wasm");
    assert_eq!(grants.plugs().len(), 2);
}

#[test]
fn every_annotation_of_the_page_has_a_grammar_and_an_example() {
    let of_table = PAGE.split("`run.wasm/").skip(1).map(|rest| rest.split(['`', ':']).next().unwrap());
    let keys: std::collections::BTreeSet<_> = of_table.filter(|key| !key.contains('<')).collect();
    assert_eq!(keys.len(), 16, "{keys:?}");
    for key in keys {
        let headings = PAGE.lines().filter(|line| line.starts_with("### "));
        let family = if key.starts_with("http-") { "http-…" } else { key };
        assert_eq!(headings.filter(|line| line.contains(&format!("`{family}`"))).count(), 1, "{key}");
        assert!(
            block("yaml").lines().any(|line| line.split(['/', '.', ':']).any(|word| word == key)),
            "{key}"
        );
    }
}

#[test]
fn the_config_of_the_page_is_read_and_its_defaults_are_the_defaults() {
    let mut policy = Policy::parse(block("toml")).unwrap();
    assert!(
        policy.limits.memory.is_some()
            && policy.limits.timeout.is_some()
            && policy.limits.coredump.is_some()
            && policy.egress.allow.is_some()
            && policy.observe.metrics_address.is_some()
            && policy.observe.traces.is_some()
            && !policy.jail.require.is_empty()
            && !policy.require_signature.is_empty()
    );
    policy.limits.memory = None;
    policy.limits.timeout = None;
    policy.limits.coredump = None;
    policy.observe.metrics_address = None;
    policy.observe.traces = None;
    policy.jail = Policy::default().jail;
    policy.require_signature = Vec::new();
    policy.egress = Policy::default().egress;
    assert_eq!(policy, Policy::default());
}

const POD_SPEC: &str = include_str!("../../../docs/pod-spec.md");

/// The rows of a page's tables, each cell trimmed.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = page.lines().filter(|line| line.starts_with("| `"));
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

#[test]
fn the_page_has_the_verdicts_of_the_code_on_every_field_of_a_spec() {
    let (_, page) = POD_SPEC.split_once("\n## config.json\n").unwrap();
    let said: Vec<String> = rows(page).map(|cells| cells.join(" | ")).collect();
    let meant: Vec<String> =
        FIELDS.iter().map(|field| format!("`{}` | {} | {}", field.path, field.verdict, field.why)).collect();
    assert_eq!(said, meant);
}

#[test]
fn a_field_of_a_pod_has_the_verdict_of_the_fields_that_carry_it() {
    let (page, _) = POD_SPEC.split_once("\n## config.json\n").unwrap();
    let mut carried = 0;
    for cells in rows(page) {
        let [field, said, carriers, _] = cells[..] else { panic!("{cells:?} has not four cells") };
        assert!(["honoured", "without effect", "refused"].contains(&said), "{field}: {said}");
        for carrier in
            carriers.split(',').map(|path| path.trim().trim_matches('`')).filter(|path| !path.is_empty())
        {
            let meant = verdict(carrier).unwrap_or_else(|| panic!("{field}: there is no {carrier}"));
            assert_eq!(said, meant.verdict.to_string(), "{field} is carried by {carrier}");
            carried += 1;
        }
    }
    assert!(carried > 50, "{carried}");
}
