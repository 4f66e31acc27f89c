//! Pods of Wasm and native containers.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::cluster::{
    Namespace, container_status, guest_container, native_container, terminated, text, with,
};

use crate::table::{Feature, feature};

pub const FEATURES: &[Feature] = &[
    feature("init containers, Wasm and native, in order", init),
    feature("native sidecar: up first, restarted, gone last", sidecar),
    feature("a proxy in front of a Wasm server and behind it", proxy),
    feature("kubectl debug: of a native sidecar; of a guest refused", debug),
    feature("a native pod of another runtime beside them", native),
];

fn mixed(here: &Namespace<'_>, name: &str, spec: Value) -> Result<Value> {
    here.pod(name, with(json!({"runtimeClassName": here.mode().native_class()}), spec))
}

fn init(here: &Namespace<'_>) -> Result<()> {
    let mounts = json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]});
    mixed(
        here,
        "steps",
        json!({
            "volumes": [{"name": "data", "emptyDir": {}}],
            "initContainers": [
                with(native_container("first", "echo -n one > /data/note"), mounts.clone()),
                with(guest_container("second", "files", &["append", "/data/note", ", two"]), mounts.clone()),
                with(native_container("third", "echo -n ', three' >> /data/note"), mounts.clone()),
            ],
            "containers": [with(guest_container("guest", "files", &["read", "/data/note"]), mounts)],
        }),
    )?;
    assert_eq!(here.output("steps")?, "one, two, three\n");
    mixed(
        here,
        "stops",
        json!({
            "initContainers": [guest_container("fails", "exit", &["9"])],
            "containers": [guest_container("guest", "hello", &[])],
        }),
    )?;
    let stopped = here.ended("stops")?;
    assert_eq!(terminated(&stopped, "fails").map(|end| &end["exitCode"]), Some(&json!(9)));
    ensure!(terminated(&stopped, "guest").is_none_or(|end| end["exitCode"] != json!(0)), "it ran: {stopped}");
    Ok(())
}

fn sidecar(here: &Namespace<'_>) -> Result<()> {
    let always = json!({"restartPolicy": "Always"});
    mixed(
        here,
        "job",
        json!({
            "initContainers": [with(native_container("helper", "echo up; exec sleep 4321"), always.clone())],
            "containers": [guest_container("guest", "sleep", &["3"])],
        }),
    )?;
    // The sidecar does not keep the pod from its end.
    let ended = here.ended("job")?;
    assert_eq!(text(&ended, "/status/phase")?, "Succeeded");
    assert_eq!(here.log("job", "container=helper")?, "up\n");
    mixed(
        here,
        "fragile",
        json!({
            "restartPolicy": "Always",
            "initContainers": [with(native_container("helper", "echo up; sleep 1; exit 1"), always)],
            "containers": [guest_container("guest", "sleep", &[])],
        }),
    )?;
    let again = here.restarted("fragile", "helper", 1)?;
    assert_eq!(container_status(&again, "guest").map(|status| &status["restartCount"]), Some(&json!(0)));
    Ok(())
}

/// What a mesh puts into a pod: who asks the pod speaks with the proxy, and the pod asks others by the proxy.
fn proxy(here: &Namespace<'_>) -> Result<()> {
    let always = json!({"restartPolicy": "Always", "startupProbe": {"tcpSocket": {"port": 15006}, "periodSeconds": 1}});
    here.server("other")?;
    let other = here.address("other")?;
    let lines = format!("nc -ll -p 15006 -e nc 127.0.0.1 8080 & exec nc -ll -p 15001 -e nc {other} 80");
    here.create(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "meshed", "labels": {"app": "meshed"},
            "annotations": {"run.wasm/guest.egress": "127.0.0.1:15001"},
        },
        "spec": here.pod_spec(json!({
            "runtimeClassName": here.mode().native_class(),
            "initContainers": [with(native_container("proxy", &lines), always)],
            "containers": [with(guest_container("guest", "serve", &[]), json!({"ports": [{"containerPort": 8080}]}))],
        })),
    }))?;
    here.service("meshed", 15006)?;
    here.ready("meshed")?;
    let address = here.address("meshed")?;
    here.eventually("the guest answers by its proxy", 30, || {
        Ok(here.ask(&format!("http://{address}/hello"))?.stdout == "hello by 0.2\n")
    })?;
    let got = here.ask(&format!("http://{address}/get/127.0.0.1:15001"))?;
    assert_eq!(got.stdout, "status 200\n", "{got}");
    Ok(())
}

/// What a debugger beside a container says of the processes that it sees, or why it was not made.
fn debugged(here: &Namespace<'_>, target: &str) -> Result<String> {
    let name = format!("debug-{target}");
    here.kubectl(&[
        "debug",
        "mixed",
        "--quiet",
        "--image",
        "localhost/busybox:1",
        "--image-pull-policy",
        "Never",
        "--container",
        &name,
        "--target",
        target,
        "--",
        "busybox",
        "ps",
        "-o",
        "args",
    ])?
    .success()?;
    let pod = here.pod_when("mixed", "has been debugged", |pod| {
        let status = container_status(pod, &name);
        terminated(pod, &name).is_some()
            || status.is_some_and(|status| status.pointer("/state/waiting/message").is_some())
    })?;
    match terminated(&pod, &name) {
        Some(end) if end["exitCode"] == json!(0) => here.log("mixed", &format!("container={name}")),
        _ => Ok(container_status(&pod, &name).unwrap_or(&Value::Null).to_string()),
    }
}

fn debug(here: &Namespace<'_>) -> Result<()> {
    mixed(
        here,
        "mixed",
        json!({
            "initContainers": [with(native_container("sidecar", "exec busybox sleep 4321"), json!({"restartPolicy": "Always"}))],
            "containers": [guest_container("guest", "sleep", &[])],
        }),
    )?;
    here.running("mixed")?;
    let user = here.kubectl(&["exec", "mixed", "--container", "sidecar", "--", "busybox", "id", "-u"])?;
    assert_eq!(user.success()?, "0\n");
    let seen = debugged(here, "sidecar")?;
    assert!(seen.contains("sleep 4321"), "{seen}");
    let refused = debugged(here, "guest")?;
    assert!(refused.contains("a Wasm container has none to see"), "{refused}");
    assert!(terminated(&here.look("mixed")?, "guest").is_none(), "the guest goes on");
    Ok(())
}

fn native(here: &Namespace<'_>) -> Result<()> {
    here.create(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "native"},
        "spec": {"restartPolicy": "Never", "containers": [native_container("program", "echo hello from a native pod")]},
    }))?;
    assert_eq!(here.output("native")?, "hello from a native pod\n");
    Ok(())
}
