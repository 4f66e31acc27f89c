//! Specs for tests: the real ones of `tests/data`, and small ones changed in one place.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use grants::{GrantError, Grants, Policy, derive};
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

/// A `tests/data` file: a spec as containerd 2.1 writes it, for `ctr` or for the calls of a kubelet.
pub fn real(name: &str) -> Spec {
    let path = format!("{}/tests/data/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The smallest spec with `change` merged into it.
pub fn spec(change: Value) -> Spec {
    let mut whole = json!({
        "ociVersion": "1.2.1",
        "process": { "user": { "uid": 0, "gid": 0 }, "args": ["/app.wasm"], "env": [], "cwd": "/" },
        "root": { "path": "rootfs" },
        "linux": {},
    });
    merge(&mut whole, change);
    serde_json::from_value(whole).unwrap()
}

fn merge(into: &mut Value, change: Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change,
    }
}

/// The grants of the smallest spec with `change`, on a node without config.
pub fn granted(change: Value) -> Grants {
    derive(&spec(change), &Policy::default()).unwrap()
}

/// The sentence with which the smallest spec with `change` is refused.
pub fn refused(change: Value) -> String {
    refused_by(change, &Policy::default())
}

pub fn refused_by(change: Value, policy: &Policy) -> String {
    match derive(&spec(change), policy) {
        Ok(grants) => panic!("granted:\n{}", grants.table()),
        Err(error) => sentence(&error),
    }
}

fn sentence(error: &GrantError) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n'), "an error is one line: {text}");
    text
}

/// The annotations `{name: value}` as a change of a spec.
pub fn annotated(name: &str, value: &str) -> Value {
    json!({ "annotations": { name: value } })
}

/// One mount as a change of a spec.
pub fn mounted(mount: Value) -> Value {
    json!({ "mounts": [mount] })
}
