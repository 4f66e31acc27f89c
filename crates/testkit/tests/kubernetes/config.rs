//! What a pod's spec gives a guest by environment and arguments.

use anyhow::Result;
use serde_json::json;
use testkit::cluster::{Namespace, guest_container, with};

use crate::table::{Feature, feature};

pub const FEATURES: &[Feature] =
    &[feature("env: ConfigMap, Secret, fieldRef, resourceFieldRef, $(NAME) in args", environment)];

fn environment(here: &Namespace<'_>) -> Result<()> {
    here.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
        "data": {"colour": "green", "SIZE": "large"},
    }))?;
    here.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"},
        "stringData": {"password": "open sesame", "TOKEN": "abc"},
    }))?;
    let field = |path: &str| json!({"fieldRef": {"fieldPath": path}});
    let resource = |resource: &str| json!({"resourceFieldRef": {"resource": resource}});
    let asked = json!({
        "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}},
        "env": [
            {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "password"}}},
            {"name": "POD", "valueFrom": field("metadata.name")},
            {"name": "NAMESPACE", "valueFrom": field("metadata.namespace")},
            {"name": "LABEL", "valueFrom": field("metadata.labels['app']")},
            {"name": "NODE", "valueFrom": field("spec.nodeName")},
            {"name": "ADDRESS", "valueFrom": field("status.podIP")},
            {"name": "MEMORY", "valueFrom": resource("limits.memory")},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
            {"name": "OF_OTHERS", "value": "$(COLOUR) and $(POD)"},
        ],
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"prefix": "SECRET_", "secretRef": {"name": "keys"}}],
    });
    here.pod("env", json!({"containers": [with(guest_container("guest", "env", &[]), asked.clone())]}))?;
    let arguments = with(guest_container("guest", "args", &["$(COLOUR)", "$(NOBODY)", "$$(COLOUR)"]), asked);
    here.pod("args", json!({"containers": [arguments]}))?;
    let environment = here.output("env")?;
    let address = here.pod_address("env")?;
    let namespace = format!("NAMESPACE={}", here.name());
    for line in [
        "COLOUR=green",
        "SIZE=large",
        "PASSWORD=open sesame",
        "SECRET_TOKEN=abc",
        "POD=env",
        "LABEL=env",
        "NODE=node",
        "MEMORY=67108864",
        "CPU=100",
        "OF_OTHERS=green and env",
        &format!("ADDRESS={address}"),
        &namespace,
    ] {
        assert!(environment.lines().any(|one| one == line), "no {line} in:\n{environment}");
    }
    let arguments = here.output("args")?;
    assert!(arguments.contains("arg[1]=green\narg[2]=$(NOBODY)\narg[3]=$(COLOUR)\n"), "{arguments}");
    Ok(())
}
