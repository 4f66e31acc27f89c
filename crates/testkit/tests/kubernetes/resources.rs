//! Requests and limits, and the figures of what pods use.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use testkit::cluster::{Mode, Namespace, container_status, guest_container, text, with};
use testkit::tell;

use crate::table::{Feature, feature};

pub const FEATURES: &[Feature] = &[
    feature("requests, limits, QoS class", classes),
    feature("resize in place", resize),
    feature("stats summary (kubectl top): container and pod", summary),
    feature("/metrics/resource (what HPA and metrics-server read)", metrics),
];

fn classes(here: &Namespace<'_>) -> Result<()> {
    let both = json!({"cpu": "50m", "memory": "32Mi"});
    for (name, class, resources) in [
        ("all", "Guaranteed", json!({"requests": both, "limits": both})),
        ("some", "Burstable", json!({"requests": {"memory": "16Mi"}, "limits": {"memory": "32Mi"}})),
        ("none", "BestEffort", json!({})),
    ] {
        let guest = with(guest_container("guest", "memory-hog", &["4"]), json!({"resources": resources}));
        here.pod(name, json!({"containers": [guest]}))?;
        assert!(here.output(name)?.ends_with("done\n"));
        assert_eq!(text(&here.look(name)?, "/status/qosClass")?, class);
    }
    Ok(())
}

fn resize(here: &Namespace<'_>) -> Result<()> {
    let guest = with(
        guest_container("guest", "sleep", &[]),
        json!({"resources": {"limits": {"memory": "64Mi", "cpu": "500m"}}}),
    );
    here.pod("living", json!({"containers": [guest]}))?;
    here.running("living")?;
    for (memory, cpu) in [("128Mi", "250m"), ("64Mi", "500m")] {
        let patch = json!({"spec": {"containers": [
            {"name": "guest", "resources": {"requests": {"memory": memory, "cpu": cpu}, "limits": {"memory": memory, "cpu": cpu}}},
        ]}});
        here.kubectl(&["patch", "pod", "living", "--subresource", "resize", "--patch", &patch.to_string()])?
            .success()?;
        let resized = here.pod_when("living", "is resized", |pod| {
            let limits =
                container_status(pod, "guest").and_then(|status| status.pointer("/resources/limits"));
            limits == Some(&json!({"memory": memory, "cpu": cpu}))
        })?;
        assert_eq!(
            container_status(&resized, "guest").map(|status| &status["restartCount"]),
            Some(&json!(0))
        );
    }
    Ok(())
}

/// A pod that computes and keeps memory.
fn busy(here: &Namespace<'_>) -> Result<()> {
    let limits = json!({"resources": {"limits": {"memory": "128Mi", "cpu": "100m"}}});
    here.pod(
        "busy",
        json!({"containers": [
            with(guest_container("spins", "spin", &[]), limits.clone()),
            with(guest_container("keeps", "memory-hog", &["40", "3600"]), limits),
        ]}),
    )?;
    here.says("busy", "keeps", "done").map(drop)
}

const NODE: &str = "/api/v1/nodes/node/proxy";

/// What `busy` may use of the processors, in nanoseconds a second, with room for what a rate over a short time may be.
const LIMIT: u64 = 200_000_000;

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

fn summary(here: &Namespace<'_>) -> Result<()> {
    busy(here)?;
    let find = || -> Result<Option<Value>> {
        let all = here.api().get(&format!("{NODE}/stats/summary"))?.context("there is no summary")?;
        let pods = all.pointer("/pods").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(pods.into_iter().find(|pod| pod.pointer("/podRef/namespace") == Some(&json!(here.name()))))
    };
    let container = |pod: &Value, name: &str| {
        let all = pod.pointer("/containers").and_then(Value::as_array).cloned().unwrap_or_default();
        all.into_iter().find(|container| container.get("name") == Some(&json!(name))).unwrap_or_default()
    };
    let pod = here.until("the summary has all figures", 60, || {
        Ok(find()?.filter(|pod| {
            let (spins, keeps) = (container(pod, "spins"), container(pod, "keeps"));
            number(&spins, "/cpu/usageCoreNanoSeconds") > 100_000_000
                && (1..LIMIT).contains(&number(&spins, "/cpu/usageNanoCores"))
                && number(&keeps, "/memory/workingSetBytes") > 40 << 20
                && (number(pod, "/memory/workingSetBytes") > 0) == (here.mode() == Mode::Normal)
        }))
    })?;
    let (spins, keeps) = (container(&pod, "spins"), container(&pod, "keeps"));
    let memory = |value: &Value| number(value, "/memory/workingSetBytes") >> 20;
    tell(&format!(
        "stats summary ({}): containers {} + {} MiB, pod {} MiB; CPU of spins {} m, of the pod {} m",
        here.mode().name(),
        memory(&spins),
        memory(&keeps),
        memory(&pod),
        number(&spins, "/cpu/usageNanoCores") / 1_000_000,
        number(&pod, "/cpu/usageNanoCores") / 1_000_000,
    ));
    assert!(memory(&keeps) < 128, "{keeps}");
    Ok(())
}

/// The value of a line of a page of metrics that has all these words.
fn value(page: &str, words: &[&str]) -> Option<f64> {
    let line = page.lines().find(|line| words.iter().all(|word| line.contains(word)))?;
    line.rsplit_once('}')?.1.split_whitespace().next()?.parse().ok()
}

fn metrics(here: &Namespace<'_>) -> Result<()> {
    busy(here)?;
    let namespace = format!("namespace=\"{}\"", here.name());
    let read = || here.api().text(&format!("{NODE}/metrics/resource"));
    let seconds =
        |page: &str| value(page, &["container_cpu_usage_seconds_total{container=\"spins\"", &namespace]);
    let first =
        here.until("there are figures", 60, || Ok(seconds(&read()?).filter(|seconds| *seconds > 0.0)))?;
    let page = here.until("they grow", 60, || {
        let page = read()?;
        Ok(seconds(&page).is_some_and(|seconds| seconds > first).then_some(page))
    })?;
    let memory = value(&page, &["container_memory_working_set_bytes{container=\"keeps\"", &namespace]);
    ensure!(memory.is_some_and(|bytes| bytes > 40e6), "the memory of the container is {memory:?}");
    for name in ["pod_cpu_usage_seconds_total", "pod_memory_working_set_bytes"] {
        let figure = value(&page, &[&format!("{name}{{"), &namespace]);
        ensure!(figure.is_some(), "no {name}:\n{page}");
        tell(&format!("{name} ({}): {figure:?}", here.mode().name()));
    }
    Ok(())
}
