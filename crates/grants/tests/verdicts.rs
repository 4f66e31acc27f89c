//! No field of a spec is without a verdict, and each verdict is what happens.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use grants::verdicts::{FIELDS, verdict};
use grants::{Policy, Verdict, derive, sysctls};
use oci_spec::runtime::Spec;
use serde_json::{Map, Value, json};
use support::{granted, real, refused, spec};

/// Every field that the reader of specs knows, set to something.
fn every_field() -> Value {
    serde_json::to_value(real("every-field")).unwrap()
}

/// The paths of all that is set, as [`FIELDS`] writes them.
fn paths(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| paths(value, &below(name), into)),
        Value::Array(items) if items.iter().all(|item| item.get("type").is_some()) => {
            for item in items {
                let kind = item["type"].as_str().unwrap();
                // Mounts have a type, and their rows are about all of them.
                let path = if path == "mounts" { path.to_owned() } else { below(kind) };
                paths(item, &path, into);
            }
        }
        _ => drop(into.insert(path.to_owned())),
    }
}

#[test]
fn every_field_of_a_spec_has_a_verdict() {
    // What the reader knows and the data does not set is printed as None.
    let mut printed = format!("{:?}", real("every-field"));
    for other_system in ["solaris", "windows", "vm", "zos"] {
        let start = printed.find(&format!("{other_system}: Some(")).unwrap();
        let end = [", windows: ", ", vm: ", ", zos: ", ", uid_mappings: "];
        let end = end.iter().filter_map(|next| printed[start..].find(next)).min().unwrap();
        printed.replace_range(start..start + end, "");
    }
    let unset = printed.find(": None").map(|at| &printed[at.saturating_sub(40)..at]);
    assert_eq!(unset, None, "a field of the runtime spec that tests/data/every-field.json does not set");

    let mut all = BTreeSet::new();
    paths(&every_field(), "", &mut all);
    assert!(all.len() > 100, "{all:?}");
    let without: Vec<_> = all.iter().filter(|path| verdict(path).is_none()).collect();
    assert!(without.is_empty(), "no verdict on {without:?}");
    let unused: Vec<_> = FIELDS
        .iter()
        .filter(|field| !all.iter().any(|path| verdict(path).unwrap().path == field.path))
        .filter(|field| !FIELDS.iter().any(|other| other.path.starts_with(&format!("{}.", field.path))))
        .map(|field| field.path)
        .collect();
    assert!(unused.is_empty(), "rows about fields that do not exist: {unused:?}");
}

#[test]
fn no_field_has_two_verdicts() {
    let paths: BTreeSet<_> = FIELDS.iter().map(|field| field.path).collect();
    assert_eq!(paths.len(), FIELDS.len());
}

/// The smallest spec with the one field at `path` set as in the data.
fn with(path: &str) -> Value {
    let every = every_field();
    let (mut from, mut change, mut names) = (&every, json!({}), Vec::new());
    for name in path.split('.') {
        from = match from {
            Value::Array(items) => match items.iter().find(|item| item["type"] == name) {
                Some(item) => item,
                None => &items[0][name],
            },
            from => &from[name],
        };
        names.push(name);
    }
    if path.starts_with("linux.namespaces.") || path.starts_with("process.rlimits.") {
        names.pop();
        change = json!([from]);
    } else if let (["mounts", name], true) = (names.as_slice(), path.contains('.')) {
        let mut mount = Map::from_iter([
            ("destination".to_owned(), json!("/data")),
            ("type".into(), json!("bind")),
            ("source".into(), json!("/srv")),
        ]);
        mount.insert((*name).to_owned(), from.clone());
        (change, names) = (json!([mount]), vec!["mounts"]);
    } else {
        change.clone_from(from);
    }
    // A network of its own, where parameters can be set.
    let mut whole = json!({ "linux": { "namespaces": [{ "type": "network", "path": "/run/netns/pod" }] } });
    let mut place = &mut whole;
    for name in names {
        place = &mut place[name];
    }
    *place = change;
    whole
}

#[test]
fn what_is_refused_is_refused_and_names_the_field() {
    for field in FIELDS.iter().filter(|field| field.verdict == Verdict::Refused) {
        let sentence = refused(with(field.path));
        match field.path.strip_prefix("mounts.") {
            Some(_) => assert!(sentence.starts_with("the mount at `/data`: it is id-mapped"), "{sentence}"),
            None => assert_eq!(sentence, format!("{} of the spec: {}", field.path, field.why)),
        }
    }
}

#[test]
fn what_is_not_refused_is_not_refused() {
    for field in FIELDS.iter().filter(|field| field.verdict != Verdict::Refused) {
        // Its parts may have verdicts of their own.
        if !FIELDS.iter().any(|other| other.path.starts_with(&format!("{}.", field.path))) {
            granted(with(field.path));
        }
    }
}

#[test]
fn what_is_without_effect_changes_no_grant() {
    let plain = granted(with("linux.namespaces.network"));
    for field in FIELDS.iter().filter(|field| field.verdict == Verdict::WithoutEffect) {
        if !FIELDS.iter().any(|other| other.path.starts_with(&format!("{}.", field.path))) {
            assert!(granted(with(field.path)) == plain, "{} has an effect", field.path);
        }
    }
}

#[test]
fn a_field_that_is_set_to_nothing_asks_for_nothing() {
    let nothing = json!({
        "hooks": {}, "uidMappings": [],
        "linux": {
            "devices": [], "uidMappings": [], "netDevices": {}, "timeOffsets": {},
            "intelRdt": { "closID": "", "enableMonitoring": false },
            "resources": { "blockIO": {}, "network": {}, "cpu": { "cpus": "", "mems": "", "burst": 0 } },
        },
    });
    assert_eq!(granted(nothing), granted(json!({})));
}

#[test]
fn a_privileged_pod_is_refused_by_its_devices() {
    let device = json!({ "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11 });
    let sentence = refused(json!({ "linux": { "devices": [device] } }));
    assert!(sentence.contains("privileged: true"), "{sentence}");
}

#[test]
fn the_parameters_of_a_pods_network_are_set_and_no_others() {
    let in_pod = |sysctl: Value, namespaces: Value| -> Result<_, String> {
        let spec: Spec = spec(json!({ "linux": { "sysctl": sysctl, "namespaces": namespaces } }));
        assert_eq!(derive(&spec, &Policy::default()).is_ok(), sysctls(&spec).is_ok());
        sysctls(&spec).map_err(|error| error.to_string())
    };
    let pods = || json!([{ "type": "network", "path": "/run/netns/pod" }]);
    let wanted = json!({
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net/ipv4/conf/eth0.1/rp_filter": "1",
        "net.ipv4.conf.eth0/2.rp_filter": "1",
        "kernel.shm_rmid_forced": "1",
        "fs.mqueue.msg_max": "10",
    });
    let set: Vec<_> = in_pod(wanted, pods()).unwrap().into_iter().map(|(file, _)| file).collect();
    assert_eq!(
        set,
        [
            "net/ipv4/conf/eth0.2/rp_filter",
            "net/ipv4/ip_unprivileged_port_start",
            "net/ipv4/conf/eth0.1/rp_filter"
        ]
    );
    for (name, why) in [
        ("vm.swappiness", "is the node's"),
        ("kernel.core_pattern", "is the node's"),
        ("net/../kernel/core_pattern", "is no name"),
        ("net..x", "is no name"),
        ("net.//.//.kernel.x", "is no name"),
        ("", "is no name"),
    ] {
        let sentence = in_pod(json!({ name: "1" }), pods()).unwrap_err();
        assert!(sentence.starts_with(&format!("linux.sysctl of the spec: {name} {why}")), "{sentence}");
    }
    let network = || json!({ "net.core.somaxconn": "1" });
    assert!(in_pod(network(), json!([])).unwrap_err().contains("hostNetwork"));
    assert!(in_pod(network(), json!([{ "type": "network" }])).is_err());
}
