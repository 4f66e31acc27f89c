//! Volumes, and what changes in them while a guest runs.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::cluster::{Namespace, guest_container, text, with};

use crate::table::{Feature, feature};

pub const FEATURES: &[Feature] = &[
    feature("volumes: ConfigMap, Secret, downwardAPI, updated live", live_updates),
    feature("volumes: emptyDir, on disk and in memory, between containers", empty_dir),
    feature("volumes: hostPath, read-only", host_path),
    feature("volumes: projected token", token),
    feature("volumes: PersistentVolumeClaim of a hostPath volume", claim),
    feature("volumes: subPath", sub_path),
    feature("runAsUser, fsGroup", groups),
];

fn files(name: &str, args: &[&str], mounts: Value) -> Value {
    with(guest_container(name, "files", args), json!({"volumeMounts": mounts}))
}

fn empty_dir(here: &Namespace<'_>) -> Result<()> {
    for (name, source) in [("disk", json!({})), ("memory", json!({"medium": "Memory", "sizeLimit": "8Mi"}))] {
        let mounts = json!([{"name": "data", "mountPath": "/data"}]);
        here.pod(name, json!({
            "volumes": [{"name": "data", "emptyDir": source}],
            "initContainers": [files("writer", &["write", "/data/note", "from a neighbour"], mounts.clone())],
            "containers": [files("reader", &["read", "/data/note"], mounts)],
        }))?;
    }
    for name in ["disk", "memory"] {
        assert_eq!(here.output(name)?, "from a neighbour\n", "{name}");
    }
    Ok(())
}

fn live_updates(here: &Namespace<'_>) -> Result<()> {
    here.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "green"},
    }))?;
    here.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"password": "old"},
    }))?;
    let server = with(
        guest_container("server", "serve", &[]),
        json!({
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/hello", "port": 8080}, "periodSeconds": 1},
            "volumeMounts": [
                {"name": "settings", "mountPath": "/settings", "readOnly": true},
                {"name": "keys", "mountPath": "/keys", "readOnly": true},
                {"name": "pod", "mountPath": "/pod"},
            ],
        }),
    );
    here.pod(
        "web",
        json!({
            "volumes": [
                {"name": "settings", "configMap": {"name": "settings"}},
                {"name": "keys", "secret": {"secretName": "keys"}},
                {"name": "pod", "downwardAPI": {"items": [
                    {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                ]}},
            ],
            "containers": [server],
        }),
    )?;
    here.ready("web")?;
    let address = here.pod_address("web")?;
    let file = |path: &str| here.ask(&format!("http://{address}:8080/file/{path}"));
    assert_eq!(file("settings/colour")?.success()?, "green");
    assert_eq!(file("keys/password")?.success()?, "old");
    assert_eq!(file("pod/labels")?.success()?, "app=\"web\"");
    here.api().patch(&here.path("configmaps/settings"), &json!({"data": {"colour": "blue"}}))?;
    here.api().patch(&here.path("secrets/keys"), &json!({"stringData": {"password": "new"}}))?;
    here.api().patch(&here.path("pods/web"), &json!({"metadata": {"labels": {"stage": "two"}}}))?;
    for (path, new) in
        [("settings/colour", "blue"), ("keys/password", "new"), ("pod/labels", "app=\"web\"\nstage=\"two\"")]
    {
        here.eventually(&format!("{path} is {new:?}"), 90, || Ok(file(path)?.stdout == new))?;
    }
    Ok(())
}

fn host_path(here: &Namespace<'_>) -> Result<()> {
    let (outside, inside) = here.folder()?;
    let volume = |name: &str, args: &[&str], read_only: bool| {
        here.pod(name, json!({
            "volumes": [{"name": "host", "hostPath": {"path": inside, "type": "Directory"}}],
            "containers": [files("guest", args, json!([{"name": "host", "mountPath": "/host", "readOnly": read_only}]))],
        }))
    };
    volume("writes", &["write", "/host/note", "by a guest"], false)?;
    assert_eq!(here.output("writes")?, "ok\n");
    assert_eq!(std::fs::read_to_string(outside.join("note"))?, "by a guest");
    volume("reads", &["read", "/host/note"], true)?;
    assert_eq!(here.output("reads")?, "by a guest\n");
    volume("may-not", &["write", "/host/note", "again"], true)?;
    here.ended("may-not")?;
    let refused = here.log("may-not", "")?;
    assert!(refused.starts_with("error: "), "{refused}");
    assert_eq!(std::fs::read_to_string(outside.join("note"))?, "by a guest");
    Ok(())
}

fn token(here: &Namespace<'_>) -> Result<()> {
    let mounts = json!([{"name": "token", "mountPath": "/token", "readOnly": true}]);
    here.pod(
        "reads",
        json!({
            "volumes": [{"name": "token", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token", "audience": "somebody", "expirationSeconds": 600}},
            ]}}],
            "containers": [files("guest", &["read", "/token/token"], mounts)],
        }),
    )?;
    let token = here.output("reads")?;
    let review = here.api().post(
        "/apis/authentication.k8s.io/v1/tokenreviews",
        &json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token.trim(), "audiences": ["somebody"]},
        }),
    )?;
    let user = text(&review, "/status/user/username")?;
    assert_eq!(user, format!("system:serviceaccount:{}:default", here.name()));
    Ok(())
}

fn claim(here: &Namespace<'_>) -> Result<()> {
    let (_, inside) = here.folder()?;
    here.create(&json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": here.name()},
        "spec": {
            "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": inside},
            "persistentVolumeReclaimPolicy": "Retain", "storageClassName": "",
            "claimRef": {"namespace": here.name(), "name": "data"},
        },
    }))?;
    here.create(&json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": here.name(),
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }))?;
    let pod = |name: &str, args: &[&str]| {
        here.pod(
            name,
            json!({
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
                "containers": [files("guest", args, json!([{"name": "data", "mountPath": "/data"}]))],
            }),
        )
    };
    pod("writes", &["write", "/data/note", "kept"])?;
    assert_eq!(here.output("writes")?, "ok\n");
    pod("reads", &["read", "/data/note"])?;
    assert_eq!(here.output("reads")?, "kept\n");
    let bound = here.get("persistentvolumeclaims/data")?.context("the claim is gone")?;
    assert_eq!(text(&bound, "/status/phase")?, "Bound");
    here.api().delete(&format!("/api/v1/persistentvolumes/{}", here.name()))
}

fn sub_path(here: &Namespace<'_>) -> Result<()> {
    here.create(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
        "data": {"one": "first", "two": "second"},
    }))?;
    let mounts = json!([{"name": "settings", "mountPath": "/etc/one", "subPath": "one"}]);
    here.pod(
        "reads",
        json!({
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
            "initContainers": [files("lists", &["list", "/etc"], mounts.clone())],
            "containers": [files("guest", &["read", "/etc/one"], mounts)],
        }),
    )?;
    assert_eq!(here.output("reads")?, "first\n");
    assert_eq!(here.log("reads", "container=lists")?, "one\n");
    Ok(())
}

fn groups(here: &Namespace<'_>) -> Result<()> {
    let (outside, inside) = here.folder()?;
    let mounts = json!([{"name": "data", "mountPath": "/data"}, {"name": "host", "mountPath": "/host"}]);
    here.pod(
        "writes",
        json!({
            "securityContext": {"runAsUser": 1234, "runAsGroup": 2345, "fsGroup": 3456},
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "host", "hostPath": {"path": inside}}],
            "initContainers": [files("forbidden", &["stat", "/host"], mounts.clone())],
            "containers": [files("guest", &["write", "/data/note", "by a group"], mounts.clone())],
        }),
    )?;
    assert_eq!(here.output("writes")?, "ok\n");
    // The folder is root's.
    here.pod(
        "may-not",
        json!({
            "securityContext": {"runAsUser": 1234, "runAsGroup": 2345},
            "volumes": [{"name": "data", "emptyDir": {}}, {"name": "host", "hostPath": {"path": inside}}],
            "containers": [files("guest", &["write", "/host/note", "by nobody"], mounts)],
        }),
    )?;
    here.ended("may-not")?;
    let refused = here.log("may-not", "")?;
    assert!(refused.starts_with("error: PermissionDenied"), "{refused}");
    assert!(!outside.join("note").exists());
    Ok(())
}
