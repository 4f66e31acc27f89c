//! Objects of Kubernetes, as JSON.

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// `object` with all that `more` has: objects are merged, everything else is replaced.
pub fn with(mut object: Value, more: Value) -> Value {
    merge(&mut object, more);
    object
}

fn merge(to: &mut Value, from: Value) {
    match (to, from) {
        (Value::Object(to), Value::Object(from)) => {
            for (key, value) in from {
                merge(to.entry(key).or_insert(Value::Null), value);
            }
        }
        (to, from) => *to = from,
    }
}

/// A container that runs a guest of test-images.
pub fn guest_container(name: &str, guest: &str, args: &[&str]) -> Value {
    json!({"name": name, "image": format!("localhost/{guest}:1"), "imagePullPolicy": "Never", "args": args})
}

/// A native container that runs a line for a shell.
pub fn native_container(name: &str, line: &str) -> Value {
    guest_container(name, "busybox", &[line])
}

/// Where the API server has the objects of this one's kind.
pub(super) fn collection(object: &Value, namespace: &str) -> Result<String> {
    let word =
        |key: &str| object.get(key).and_then(Value::as_str).with_context(|| format!("no {key}: {object}"));
    let (version, kind) = (word("apiVersion")?, word("kind")?.to_lowercase());
    let root = if version.contains('/') { "apis" } else { "api" };
    let place = match kind.as_str() {
        // That are no namespace's.
        "persistentvolume" => String::new(),
        _ => format!("/namespaces/{namespace}"),
    };
    Ok(format!("/{root}/{version}{place}/{kind}s"))
}
