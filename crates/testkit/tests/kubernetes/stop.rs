//! The end that somebody wants: preStop, SIGTERM, the grace period.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::cluster::{Namespace, guest_container, terminated, with};

use crate::table::{Feature, feature};

pub const FEATURES: &[Feature] = &[
    feature("preStop: sleep", pre_stop_sleep),
    feature("preStop: exec", pre_stop_exec),
    feature("preStop: httpGet", pre_stop_http),
    feature("SIGTERM, exit codes of those who are told to go", told_to_go),
    feature("grace period ends a preStop that does not", grace),
];

/// Makes a pod that runs with a hook, deletes it; how long that took.
fn deleted(here: &Namespace<'_>, hook: Value, grace: u32) -> Result<Duration> {
    let sleep = with(guest_container("guest", "sleep", &[]), json!({"lifecycle": {"preStop": hook}}));
    here.pod("stopping", json!({"terminationGracePeriodSeconds": grace, "containers": [sleep]}))?;
    here.running("stopping")?;
    let start = Instant::now();
    here.delete_pod("stopping")?;
    Ok(start.elapsed())
}

fn pre_stop_sleep(here: &Namespace<'_>) -> Result<()> {
    let took = deleted(here, json!({"sleep": {"seconds": 3}}), 30)?;
    assert!((3..20).contains(&took.as_secs()), "{took:?}");
    Ok(())
}

fn pre_stop_exec(here: &Namespace<'_>) -> Result<()> {
    let took = deleted(here, json!({"exec": {"command": ["nap", "3"]}}), 30)?;
    assert!((3..20).contains(&took.as_secs()), "{took:?}");
    Ok(())
}

fn grace(here: &Namespace<'_>) -> Result<()> {
    let took = deleted(here, json!({"exec": {"command": ["nap", "600"]}}), 2)?;
    assert!((2..20).contains(&took.as_secs()), "{took:?}");
    Ok(())
}

fn pre_stop_http(here: &Namespace<'_>) -> Result<()> {
    let server = with(
        guest_container("guest", "serve", &[]),
        json!({
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/hello", "port": 8080}, "periodSeconds": 1},
            "lifecycle": {"preStop": {"httpGet": {"path": "/stderr/farewell", "port": 8080}}},
        }),
    );
    here.pod("web", json!({"terminationGracePeriodSeconds": 20, "containers": [server]}))?;
    here.ready("web")?;
    let (outside, inside) = here.folder()?;
    let follow = format!("timeout 120 kubectl --namespace {} logs -f web > {inside}/log", here.name());
    let log = || fs::read_to_string(outside.join("log")).unwrap_or_default();
    let ip = here.look("web")?.pointer("/status/podIP").and_then(Value::as_str).map(str::to_owned);
    here.ask(&format!("http://{}:8080/stderr/here", ip.context("it has no address")?))?.success()?;
    std::thread::scope(|scope| {
        let following = scope.spawn(|| here.cluster().run(&["sh", "-c", &follow]));
        here.eventually("its log is followed", 60, || Ok(log().contains("here")))?;
        here.delete_pod("web")?;
        following.join().unwrap_or_else(|_| anyhow::bail!("the log was not followed"))
    })?;
    assert!(log().contains("farewell"), "{}", log());
    Ok(())
}

fn told_to_go(here: &Namespace<'_>) -> Result<()> {
    // A finalizer keeps the pod's record for as long as the test looks at it.
    let keep = |name: &str, guest: &str| -> Result<()> {
        let spec = json!({
            "terminationGracePeriodSeconds": 20,
            "containers": [with(guest_container("guest", guest, &[]), json!({"ports": [{"containerPort": 8080}]}))],
        });
        here.create(&json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "finalizers": ["run.wasm/test"]},
            "spec": here.pod_spec(spec),
        }))?;
        here.running(name).map(drop)
    };
    keep("server", "serve")?;
    keep("sleep", "sleep")?;
    for (name, code) in [("server", 0), ("sleep", 143)] {
        let path = here.path(&format!("pods/{name}"));
        here.api().delete(&path)?;
        let gone = here.pod_when(name, "has been ended", |pod| terminated(pod, "guest").is_some());
        here.api().patch(&path, &json!({"metadata": {"finalizers": null}}))?;
        assert_eq!(
            terminated(&gone?, "guest").map(|end| end["exitCode"].clone()),
            Some(json!(code)),
            "{name}"
        );
    }
    Ok(())
}
