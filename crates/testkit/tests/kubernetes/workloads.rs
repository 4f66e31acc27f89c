//! What makes pods for others: Job, CronJob, StatefulSet, DaemonSet; and what takes them away.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::cluster::{Namespace, guest_container, text, with};

use crate::table::{Feature, feature};

pub const FEATURES: &[Feature] = &[
    feature("CronJob", cron_job),
    feature("Job: completions, indexes", job),
    feature("Job: podFailurePolicy by exit code", failing_job),
    feature("StatefulSet: names that stay", stateful_set),
    feature("DaemonSet, on each node", daemon_set),
    feature("eviction by API, PodDisruptionBudget", eviction),
];

/// The template of pods of the test's mode, with the label `app`.
pub fn template(here: &Namespace<'_>, app: &str, spec: Value) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": here.pod_spec(spec)})
}

/// A server that says when it is ready.
pub fn server() -> Value {
    with(
        guest_container("server", "serve", &[]),
        json!({
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/hello", "port": 8080}, "periodSeconds": 1},
        }),
    )
}

/// Waits until a number of an object's status is as wanted.
pub fn counts(here: &Namespace<'_>, path: &str, field: &str, wanted: u64) -> Result<Value> {
    here.until(&format!("{path} has {field} = {wanted}"), 90, || {
        let object = here.api().get(path)?;
        Ok(object.filter(|object| {
            object.pointer(&format!("/status/{field}")).and_then(Value::as_u64) == Some(wanted)
        }))
    })
}

fn pods_of(here: &Namespace<'_>, label: &str) -> Result<Vec<Value>> {
    here.list(&here.path(&format!("pods?labelSelector={label}")))
}

fn job(here: &Namespace<'_>) -> Result<()> {
    here.create(&json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "count"},
        "spec": {
            "completions": 3, "parallelism": 2, "completionMode": "Indexed",
            "template": template(here, "count", json!({"containers": [guest_container("guest", "env", &[])]})),
        },
    }))?;
    counts(here, &here.path_of("batch/v1", "jobs/count"), "succeeded", 3)?;
    let mut seen = Vec::new();
    for pod in pods_of(here, "app=count")? {
        let log = here.log(text(&pod, "/metadata/name")?, "")?;
        seen.extend(
            log.lines().filter_map(|line| line.strip_prefix("JOB_COMPLETION_INDEX=")).map(str::to_owned),
        );
    }
    seen.sort();
    assert_eq!(seen, ["0", "1", "2"]);
    Ok(())
}

fn failing_job(here: &Namespace<'_>) -> Result<()> {
    here.create(&json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "fails"},
        "spec": {
            "backoffLimit": 6,
            "podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [7]}}]},
            "template": template(here, "fails", json!({"containers": [guest_container("guest", "exit", &["7"])]})),
        },
    }))?;
    let job = counts(here, &here.path_of("batch/v1", "jobs/fails"), "failed", 1)?;
    let path = here.path_of("batch/v1", "jobs/fails");
    here.eventually("the Job has failed by its policy", 60, || {
        let job = here.api().get(&path)?.unwrap_or_default();
        Ok(job.pointer("/status/conditions").is_some_and(|all| all.to_string().contains("PodFailurePolicy")))
    })?;
    assert_eq!(pods_of(here, "app=fails")?.len(), 1, "{job}");
    Ok(())
}

fn cron_job(here: &Namespace<'_>) -> Result<()> {
    here.create(&json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "minutely"},
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {
            "template": template(here, "minutely", json!({"containers": [guest_container("guest", "hello", &[])]})),
        }}},
    }))?;
    let path = here.path_of("batch/v1", "jobs");
    here.eventually("a Job of the CronJob is complete", 100, || {
        let jobs = here.list(&path)?;
        Ok(jobs.iter().any(|job| job.pointer("/status/succeeded") == Some(&json!(1))))
    })
}

fn stateful_set(here: &Namespace<'_>) -> Result<()> {
    here.create(&json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "members"},
        "spec": {"clusterIP": "None", "selector": {"app": "member"}, "ports": [{"port": 8080}]},
    }))?;
    here.create(&json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "member"},
        "spec": {
            "serviceName": "members", "replicas": 2, "selector": {"matchLabels": {"app": "member"}},
            "template": template(here, "member", json!({"restartPolicy": "Always", "containers": [server()]})),
        },
    }))?;
    let path = here.path_of("apps/v1", "statefulsets/member");
    counts(here, &path, "readyReplicas", 2)?;
    let before = here.look("member-0")?;
    here.api().delete(&here.path("pods/member-0"))?;
    here.pod_when("member-0", "is another one, and ready", |pod| {
        pod.pointer("/metadata/uid") != before.pointer("/metadata/uid")
            && testkit::cluster::condition(pod, "Ready") == Some("True")
    })?;
    let address = here.pod_address("member-0")?;
    let name = format!("member-0.members.{}.svc.cluster.local", here.name());
    let asks = json!({"containers": [guest_container("guest", "sockets", &["resolve", &name])]});
    // The name server hears of the new address a moment later.
    for number in 0..20 {
        let pod = format!("asks-{number}");
        here.annotated_pod(&pod, json!({"run.wasm/egress": format!("{name}:8080")}), asks.clone())?;
        here.ended(&pod)?;
        if here.log(&pod, "")? == format!("ok {address}\n") {
            return Ok(());
        }
    }
    anyhow::bail!("{name} is not {address}: {}", here.log("asks-19", "")?)
}

fn daemon_set(here: &Namespace<'_>) -> Result<()> {
    here.create(&json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "everywhere"},
        "spec": {
            "selector": {"matchLabels": {"app": "everywhere"}},
            "template": template(here, "everywhere", json!({"restartPolicy": "Always", "containers": [server()]})),
        },
    }))?;
    counts(here, &here.path_of("apps/v1", "daemonsets/everywhere"), "numberReady", 2).map(drop)
}

fn eviction(here: &Namespace<'_>) -> Result<()> {
    here.create(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": template(here, "web", json!({"restartPolicy": "Always", "containers": [server()]})),
        },
    }))?;
    here.create(&json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    }))?;
    let deployment = here.path_of("apps/v1", "deployments/web");
    counts(here, &deployment, "readyReplicas", 2)?;
    let budget = here.path_of("policy/v1", "poddisruptionbudgets/web");
    counts(here, &budget, "currentHealthy", 2)?;
    let pods = pods_of(here, "app=web")?;
    let victim = text(pods.first().unwrap_or(&Value::Null), "/metadata/name")?.to_owned();
    let evict = || {
        here.api().post(
            &here.path(&format!("pods/{victim}/eviction")),
            &json!({
                "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim},
            }),
        )
    };
    let refused = evict().err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(refused.contains("429"), "the budget does not hold: {refused}");
    here.api().patch(&budget, &json!({"spec": {"minAvailable": 1}}))?;
    counts(here, &budget, "disruptionsAllowed", 1)?;
    evict()?;
    here.eventually("the evicted pod is gone", 60, || Ok(here.get(&format!("pods/{victim}"))?.is_none()))?;
    counts(here, &deployment, "readyReplicas", 2).map(drop)
}
