//! What becomes of a container's grants while it runs: other processes in it, other resources.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;

use grants::{Cpu, Grants, Policy, derive};
use oci_spec::runtime::{LinuxResources, Process};
use serde_json::{Value, json};
use support::real;

fn process(args: &[&str]) -> Process {
    with(json!({ "args": args, "cwd": "/", "user": { "uid": 0, "gid": 0 } }))
}

fn with(process: Value) -> Process {
    serde_json::from_value(process).unwrap()
}

fn container() -> Grants {
    derive(&real("ctr-run-options"), &Policy::default()).unwrap()
}

fn resized(resources: Value, most: Option<u64>) -> Grants {
    let resources: LinuxResources = serde_json::from_value(resources).unwrap();
    container().resized(&resources, most)
}

#[test]
fn an_exec_has_its_own_arguments_and_the_containers_grants() {
    let exec = container().for_exec(&process(&["report", "--all"])).unwrap();
    assert_eq!(exec.args(), ["report", "--all"]);
    assert_eq!(exec.entry(), container().entry());
    assert_eq!(exec.volumes(), container().volumes());
    assert_eq!(exec.memory_limit(), container().memory_limit());
    assert_eq!((exec.root(), exec.egress()), (container().root(), container().egress()));
}

#[test]
fn the_first_argument_of_an_exec_may_name_other_wasm_or_a_function() {
    let entry = |first: &str| {
        let exec = container().for_exec(&process(&[first])).unwrap();
        (exec.entry().path.clone(), exec.entry().function.clone())
    };
    let own = container().entry().path.clone();
    assert_eq!(entry("/tools/check.wasm"), (Path::new("/tools/check.wasm").into(), None));
    assert_eq!(entry("check.wat#run"), (Path::new("check.wat").into(), Some("run".into())));
    assert_eq!(entry("#healthy"), (own.clone(), Some("healthy".into())));
    assert_eq!(entry("ls"), (own, None));
    assert!(container().for_exec(&process(&["check.wasm#"])).is_err());
}

#[test]
fn an_exec_is_no_way_to_be_somebody_else() {
    let other = json!({ "args": ["x"], "cwd": "/", "user": { "uid": 7, "gid": 0 } });
    let error = container().for_exec(&with(other)).unwrap_err().to_string();
    assert!(error.contains("7:0") && error.contains("0:0"), "{error}");
}

#[test]
fn resources_that_are_not_named_stay_as_they_are() {
    let same = resized(json!({}), None);
    assert_eq!((same.memory_limit(), same.cpu()), (Some(64 << 20), Cpu::default()));
    let cpu = resized(json!({ "cpu": { "quota": 5000, "shares": 2 } }), None);
    assert_eq!(cpu.memory_limit(), Some(64 << 20));
    assert_eq!(cpu.cpu(), Cpu { quota: Some(5000), shares: 2, ..Cpu::default() });
    let memory = resized(json!({ "memory": { "limit": 1 << 20 }, "cpu": { "quota": 0 } }), None);
    assert_eq!((memory.memory_limit(), memory.cpu()), (Some(1 << 20), Cpu::default()));
}

#[test]
fn limits_are_taken_away_by_a_negative_number_and_stay_below_the_nodes() {
    let none = resized(json!({ "memory": { "limit": -1 }, "cpu": { "quota": -1 } }), None);
    assert_eq!((none.memory_limit(), none.cpu().quota), (None, None));
    let bounded = resized(json!({ "memory": { "limit": 1u64 << 40 } }), Some(1 << 30));
    assert_eq!(bounded.memory_limit(), Some(1 << 30));
    assert_eq!(resized(json!({ "memory": { "limit": -1 } }), Some(1 << 30)).memory_limit(), Some(1 << 30));
}
