//! What a native container may ask for, and what is refused with which sentence.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use grants::native::{check, claims_wasm};
use grants::{Policy, identity, sysctls_beside_the_network};
use oci_spec::runtime::{LinuxNamespaceType, Spec};
use serde_json::{Value, json};
use support::{real, spec};

fn policy(word: &str) -> Policy {
    Policy::parse(&format!("native = \"{word}\"")).unwrap()
}

/// A container of a pod as containerd describes it, without annotations of ours, with a change.
fn container(change: Value) -> Spec {
    let mut whole = serde_json::to_value(real("cri-container")).unwrap();
    whole["annotations"].as_object_mut().unwrap().retain(|name, _| !name.starts_with("run.wasm/"));
    for (key, value) in change.as_object().unwrap() {
        whole.pointer_mut(key).map(|place| *place = value.clone()).unwrap();
    }
    serde_json::from_value(whole).unwrap()
}

/// The sandbox of a pod that has these namespaces.
fn sandbox(namespaces: &[&str]) -> Spec {
    let namespaces: Vec<Value> = namespaces.iter().map(|kind| json!({ "type": kind })).collect();
    spec(json!({ "linux": { "namespaces": namespaces } }))
}

const ALL: [&str; 5] = ["pid", "ipc", "uts", "mount", "network"];

fn refused(spec: &Spec, pod: &Spec) -> String {
    check(spec, Some(pod), &policy("allow-privileged")).unwrap();
    check(spec, Some(pod), &policy("allow")).unwrap_err().to_string()
}

#[test]
fn an_ordinary_container_of_a_pod_may_run() {
    check(&container(json!({})), Some(&real("cri-sandbox")), &policy("allow")).unwrap();
    check(&real("ctr-run"), None, &policy("allow")).unwrap();
    check(&real("ctr-run-options"), None, &policy("allow")).unwrap();
}

#[test]
fn what_would_give_it_the_node_is_refused_unless_the_node_says_otherwise() {
    let pod = sandbox(&ALL);
    let ordinary = container(json!({}));
    for (kind, word) in [("pid", "hostPID"), ("ipc", "hostIPC")] {
        let without: Vec<&str> = ALL.into_iter().filter(|other| *other != kind).collect();
        assert!(refused(&ordinary, &sandbox(&without)).contains(word));
    }
    let devices = |rule: Value| container(json!({ "/linux/resources/devices": [rule] }));
    for rule in [json!({"allow": true, "access": "rwm"}), json!({"allow": true, "type": "b", "access": "r"})]
    {
        assert!(refused(&devices(rule), &pod).contains("privileged"));
    }
    for rule in [
        json!({"allow": false, "access": "rwm"}),
        json!({"allow": true, "type": "c", "access": "m"}),
        json!({"allow": true, "type": "c", "major": 136, "access": "rwm"}),
    ] {
        check(&devices(rule), Some(&pod), &policy("allow")).unwrap();
    }
    let capable = container(json!({ "/process/capabilities/bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN"] }));
    assert!(refused(&capable, &pod).contains("CAP_SYS_ADMIN"));
}

#[test]
fn a_container_without_a_pod_speaks_for_itself() {
    let mut whole = serde_json::to_value(real("ctr-run")).unwrap();
    whole["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "ipc"}]);
    let spec: Spec = serde_json::from_value(whole).unwrap();
    assert!(check(&spec, None, &policy("allow")).unwrap_err().to_string().contains("hostPID"));
}

#[test]
fn some_things_are_refused_whatever_the_node_says() {
    let pod = sandbox(&ALL);
    let with = |namespaces: Value| container(json!({ "/linux/namespaces": namespaces }));
    for (spec, word) in [
        (with(json!([{"type": "pid"}, {"type": "mount"}, {"type": "user"}])), "hostUsers"),
        (with(json!([{"type": "pid"}])), "mount namespace"),
    ] {
        let error = check(&spec, Some(&pod), &policy("allow-privileged")).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn an_annotation_that_names_a_native_container_is_refused() {
    let name = identity::container_name(&real("cri-container")).unwrap().to_owned();
    let mut whole = serde_json::to_value(real("cri-container")).unwrap();
    whole["annotations"][format!("run.wasm/{name}.egress")] = "10.0.0.1:80".into();
    let spec: Spec = serde_json::from_value(whole).unwrap();
    let error = check(&spec, Some(&sandbox(&ALL)), &policy("allow")).unwrap_err().to_string();
    assert!(error.contains("egress") && error.contains("native"), "{error}");
}

#[test]
fn the_name_of_an_entry_point_may_claim_wasm() {
    assert!(claims_wasm("/app.wasm") && claims_wasm("app.wat") && claims_wasm("/x#run"));
    assert!(!claims_wasm("/bin/sh") && !claims_wasm("wasm") && !claims_wasm(""));
}

#[test]
fn parameters_of_ipc_and_uts_are_for_native_containers() {
    let spec = spec(json!({ "linux": { "sysctl": {
        "kernel.shmmax": "1", "net.core.somaxconn": "2", "fs.mqueue.msg_max": "3", "kernel.domainname": "d",
    } } }));
    let files: Vec<String> = sysctls_beside_the_network(&spec).into_iter().map(|(file, _)| file).collect();
    assert_eq!(files, ["fs/mqueue/msg_max", "kernel/domainname", "kernel/shmmax"]);
    assert!(identity::has_the_nodes(&spec, LinuxNamespaceType::Uts));
}
