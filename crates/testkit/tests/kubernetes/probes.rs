//! Probes of every kind, and what each is for: readiness takes out of a Service, liveness starts again, startup holds the others back.

use std::fs;

use anyhow::Result;
use serde_json::{Value, json};
use testkit::cluster::{Namespace, condition, container_status, guest_container, with};

use crate::table::{Feature, feature};

pub const FEATURES: &[Feature] = &[
    feature("readiness by HTTP takes out of the Service and puts back", readiness),
    feature("liveness by HTTP that fails starts again", liveness),
    feature("startup by HTTP holds the others back", startup),
    feature("probes by TCP: one that holds, one that fails", tcp),
    feature("probes by exec: that hold, fail, take too long", exec),
    feature("probes by gRPC: one that holds, one that fails", grpc),
];

/// A server with a volume that the test writes to; a probe of its files is `/file/data/NAME`.
fn watched(here: &Namespace<'_>, inside: &str, probes: Value) -> Result<()> {
    let server = with(
        guest_container("guest", "serve", &[]),
        json!({
            "ports": [{"containerPort": 8080}],
            "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": true}],
        }),
    );
    here.pod(
        "web",
        json!({
            "restartPolicy": "Always",
            "volumes": [{"name": "data", "hostPath": {"path": inside}}],
            "containers": [with(server, probes)],
        }),
    )
    .map(drop)
}

fn file_probe(name: &str) -> Value {
    json!({"httpGet": {"path": format!("/file/data/{name}"), "port": 8080}, "periodSeconds": 1, "failureThreshold": 1})
}

fn restarts(pod: &Value) -> u64 {
    container_status(pod, "guest").and_then(|status| status.get("restartCount")?.as_u64()).unwrap_or_default()
}

fn readiness(here: &Namespace<'_>) -> Result<()> {
    let (outside, inside) = here.folder()?;
    here.service("web", 8080)?;
    watched(here, &inside, json!({"readinessProbe": file_probe("ready")}))?;
    let url = format!("http://{}/hello", here.address("web")?);
    let answers = || Ok(here.ask(&url)?.code == 0);
    here.running("web")?;
    assert!(!answers()?, "a pod that is not ready is in its Service");
    fs::write(outside.join("ready"), "")?;
    here.ready("web")?;
    here.eventually("the Service answers", 30, answers)?;
    fs::remove_file(outside.join("ready"))?;
    here.pod_when("web", "is not ready", |pod| condition(pod, "Ready") == Some("False"))?;
    here.eventually("the Service has nobody", 30, || Ok(!answers()?))?;
    fs::write(outside.join("ready"), "")?;
    here.eventually("the Service answers again", 30, answers)?;
    assert_eq!(restarts(&here.look("web")?), 0);
    Ok(())
}

fn liveness(here: &Namespace<'_>) -> Result<()> {
    let (outside, inside) = here.folder()?;
    fs::write(outside.join("alive"), "")?;
    watched(
        here,
        &inside,
        json!({"livenessProbe": file_probe("alive"), "readinessProbe": file_probe("alive")}),
    )?;
    here.ready("web")?;
    fs::remove_file(outside.join("alive"))?;
    here.restarted("web", "guest", 1)?;
    fs::write(outside.join("alive"), "")?;
    let again = here.ready("web")?;
    let last =
        container_status(&again, "guest").and_then(|status| status.pointer("/lastState/terminated/exitCode"));
    assert_eq!(last, Some(&json!(0)), "a server that is told to go ends well: {again}");
    Ok(())
}

fn startup(here: &Namespace<'_>) -> Result<()> {
    let (outside, inside) = here.folder()?;
    let patient = with(file_probe("started"), json!({"failureThreshold": 600}));
    watched(here, &inside, json!({"startupProbe": patient, "livenessProbe": file_probe("alive")}))?;
    // Liveness would have ended it by now.
    here.running("web")?;
    std::thread::sleep(std::time::Duration::from_secs(4));
    let waiting = here.look("web")?;
    assert_eq!(restarts(&waiting), 0);
    assert_eq!(container_status(&waiting, "guest").map(|status| &status["started"]), Some(&json!(false)));
    fs::write(outside.join("alive"), "")?;
    fs::write(outside.join("started"), "")?;
    here.ready("web")?;
    fs::remove_file(outside.join("alive"))?;
    here.restarted("web", "guest", 1).map(drop)
}

fn tcp(here: &Namespace<'_>) -> Result<()> {
    let probe = json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 1});
    let server = with(
        guest_container("guest", "serve", &[]),
        json!({
            "ports": [{"containerPort": 8080}], "readinessProbe": probe, "livenessProbe": with(probe.clone(), json!({"initialDelaySeconds": 2})),
        }),
    );
    here.pod("listens", json!({"restartPolicy": "Always", "containers": [server]}))?;
    let deaf = with(guest_container("guest", "sleep", &[]), json!({"livenessProbe": probe}));
    here.pod("deaf", json!({"restartPolicy": "Always", "containers": [deaf]}))?;
    here.ready("listens")?;
    here.restarted("deaf", "guest", 1)?;
    assert_eq!(restarts(&here.look("listens")?), 0);
    Ok(())
}

/// What a probe has that is to succeed whatever else the machine has to do.
fn patient() -> Value {
    json!({"timeoutSeconds": 30, "failureThreshold": 5})
}

fn exec(here: &Namespace<'_>) -> Result<()> {
    let probe = |seconds: &str| json!({"exec": {"command": ["nap", seconds]}, "periodSeconds": 1, "failureThreshold": 1});
    let patient = with(probe("0"), patient());
    for (name, probe) in [("well", patient), ("ill", probe("no number")), ("slow", probe("600"))] {
        let guest = with(
            guest_container("guest", "sleep", &[]),
            json!({"livenessProbe": probe, "readinessProbe": probe}),
        );
        here.pod(name, json!({"restartPolicy": "Always", "containers": [guest]}))?;
    }
    here.ready("well")?;
    for name in ["ill", "slow"] {
        let again = here.restarted(name, "guest", 1)?;
        assert_ne!(condition(&again, "Ready"), Some("True"), "{name}");
    }
    assert_eq!(restarts(&here.look("well")?), 0);
    Ok(())
}

fn grpc(here: &Namespace<'_>) -> Result<()> {
    let probe = |port: u16| json!({"grpc": {"port": port}, "periodSeconds": 1, "failureThreshold": 1});
    for (name, readiness) in [("well", with(probe(8080), patient())), ("ill", probe(9))] {
        let guest = with(
            guest_container("guest", "serve", &[]),
            json!({
                "ports": [{"containerPort": 8080}], "readinessProbe": readiness, "livenessProbe": with(readiness.clone(), json!({"initialDelaySeconds": 2})),
            }),
        );
        here.pod(name, json!({"restartPolicy": "Always", "containers": [guest]}))?;
    }
    here.ready("well")?;
    here.restarted("ill", "guest", 1)?;
    assert_eq!(restarts(&here.look("well")?), 0);
    Ok(())
}
