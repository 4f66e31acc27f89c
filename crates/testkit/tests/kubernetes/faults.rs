//! What happens to a node: its programs are ended, it is rebooted, it is drained. Pods come back, nothing doubles, nothing
//! stays Terminating.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testkit::cluster::{
    Cluster, Mode, NODE, Namespace, WORKER, condition, container_status, guest_container, native_container,
    text, with,
};

use crate::table::{Table, fresh_name};
use crate::workloads::{counts, server, template};

/// What is done to the node.
struct Fault {
    name: &'static str,
    strike: fn(&Cluster) -> Result<()>,
    /// What has to be so for the pods of a namespace then.
    holds: fn(&Namespace<'_>, &Snapshot) -> Result<()>,
}

const FAULTS: [Fault; 6] = [
    Fault { name: "kubelet restart", strike: |cluster| cluster.restart("kubelet", "TERM"), holds: goes_on },
    Fault {
        name: "containerd restart",
        strike: |cluster| cluster.restart("containerd", "TERM"),
        holds: goes_on,
    },
    Fault {
        name: "containerd killed",
        strike: |cluster| cluster.restart("containerd", "KILL"),
        holds: goes_on,
    },
    Fault { name: "node reboot", strike: Cluster::reboot, holds: comes_back },
    Fault {
        name: "node drain to another node",
        strike: |cluster| drain(cluster, NODE, WORKER),
        holds: is_replaced,
    },
    Fault { name: "node drain back", strike: |cluster| drain(cluster, WORKER, NODE), holds: is_replaced },
];

/// The containers of each pod: whether the same go on.
type Snapshot = BTreeMap<String, Vec<(String, String, u64)>>;

/// Strikes one after the other; the pods are the same for all.
pub fn try_all(cluster: &Cluster, table: &mut Table) {
    if !FAULTS.iter().any(|fault| testkit::wanted(fault.name)) {
        return;
    }
    let scenes = [Mode::Normal, Mode::Shared].map(|mode| (mode, scene(cluster, mode)));
    for fault in FAULTS.iter().filter(|fault| testkit::wanted(fault.name)) {
        let before = scenes.each_ref().map(|(_, scene)| scene.as_ref().ok().map(snapshot));
        let tasks = tasks(cluster);
        let start = Instant::now();
        let struck = (fault.strike)(cluster);
        for ((mode, scene), before) in scenes.iter().zip(before) {
            let result = match (scene, &before, &struck) {
                (Ok(here), Some(Ok(before)), Ok(())) => (fault.holds)(here, before)
                    .and_then(|()| works(here, fault))
                    .map_err(|error| anyhow::anyhow!("{error:#}\n{}", here.described())),
                (Err(error), _, _) | (_, Some(Err(error)), _) | (_, _, Err(error)) => {
                    Err(anyhow::anyhow!("{error:#}"))
                }
                (Ok(_), None, Ok(())) => continue,
            };
            table.cell(fault.name, *mode, result, start.elapsed());
        }
        let same = tasks.and_then(|before| {
            testkit::eventually("no task is lost or doubled", 30, || Ok(self::tasks(cluster)? == before))
        });
        table.check(&format!("as many tasks run after: {}", fault.name), same);
    }
    for (_, scene) in scenes {
        table.check("the pods of the faults can be deleted", scene.and_then(|here| here.remove()));
    }
}

/// A Service of two servers, a pod with a volume, one with a native sidecar, and one that has ended.
fn scene(cluster: &Cluster, mode: Mode) -> Result<Namespace<'_>> {
    let here = cluster.namespace(&fresh_name(mode), mode)?;
    here.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "green"}}))?;
    here.create(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "template": template(&here, "web", json!({"restartPolicy": "Always", "containers": [server()]})),
        },
    }))?;
    here.service("web", 8080)?;
    let mounted = json!({"volumeMounts": [{"name": "settings", "mountPath": "/settings"}]});
    here.pod(
        "lone",
        json!({
            "restartPolicy": "Always",
            "volumes": [{"name": "settings", "configMap": {"name": "settings"}}],
            "containers": [with(guest_container("guest", "sleep", &[]), mounted)],
        }),
    )?;
    here.pod("mixed", json!({
        "runtimeClassName": mode.native_class(), "restartPolicy": "Always",
        "initContainers": [with(native_container("sidecar", "exec sleep 4321"), json!({"restartPolicy": "Always"}))],
        "containers": [guest_container("guest", "sleep", &[])],
    }))?;
    here.pod("done", json!({"containers": [guest_container("guest", "hello", &[])]}))?;
    here.output("done")?;
    here.ready("lone")?;
    here.ready("mixed")?;
    is_served(&here)?;
    Ok(here)
}

fn is_served(here: &Namespace<'_>) -> Result<()> {
    counts(here, &here.path_of("apps/v1", "deployments/web"), "readyReplicas", 2)?;
    let url = format!("http://{}/hello", here.address("web")?);
    here.eventually("the Service answers", 60, || Ok(here.ask(&url)?.code == 0))
}

fn snapshot(here: &Namespace<'_>) -> Result<Snapshot> {
    let pods = here.list(&here.path("pods"))?;
    let containers = |pod: &Value| -> Vec<(String, String, u64)> {
        let lists = ["containerStatuses", "initContainerStatuses"]
            .map(|kind| pod.pointer(&format!("/status/{kind}")));
        let all = lists.into_iter().flatten().filter_map(Value::as_array).flatten();
        let word = |status: &Value, key: &str| {
            status.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        all.map(|status| {
            (
                word(status, "name"),
                word(status, "containerID"),
                status["restartCount"].as_u64().unwrap_or_default(),
            )
        })
        .collect()
    };
    pods.iter().map(|pod| Ok((text(pod, "/metadata/name")?.to_owned(), containers(pod)))).collect()
}

/// How many tasks run under containerd, on both nodes.
fn tasks(cluster: &Cluster) -> Result<usize> {
    let list = ["ctr", "tasks", "ls"];
    let lists = [cluster.run(&list)?.success()?, cluster.run_on_worker(&list)?.success()?];
    Ok(lists.iter().flat_map(|list| list.lines()).filter(|line| line.contains("RUNNING")).count())
}

/// A pod that is made now runs, and the Service answers.
fn works(here: &Namespace<'_>, fault: &Fault) -> Result<()> {
    let name: String = fault.name.chars().map(|char| if char == ' ' { '-' } else { char }).collect();
    let name = format!("after-{name}");
    here.pod(&name, json!({"containers": [guest_container("guest", "hello", &[])]}))?;
    assert_output(here, &name)?;
    here.delete_pod(&name)?;
    is_served(here)
}

fn assert_output(here: &Namespace<'_>, pod: &str) -> Result<()> {
    let output = here.output(pod)?;
    ensure!(output == "hello from run-wasm\n", "{pod}: {output}");
    Ok(())
}

/// The same containers go on.
fn goes_on(here: &Namespace<'_>, before: &Snapshot) -> Result<()> {
    // Until kubelet speaks with containerd again, nothing can change.
    let name = "probe";
    here.pod(name, json!({"containers": [guest_container("guest", "hello", &[])]}))?;
    assert_output(here, name)?;
    here.delete_pod(name)?;
    let after = snapshot(here)?;
    ensure!(&after == before, "before: {before:?}\nafter: {after:?}");
    let woke = here.kubectl(&["exec", "lone", "--", "nap", "0"])?;
    ensure!(woke.stdout == "sleeping\nwoke\n", "{woke}");
    Ok(())
}

/// The same pods run again, each container once more than before; what has ended has.
fn comes_back(here: &Namespace<'_>, before: &Snapshot) -> Result<()> {
    for (pod, containers) in before {
        for (container, id, count) in containers.iter().filter(|_| pod != "done") {
            here.pod_when(pod, &format!("has started {container} again"), |pod| {
                let status = container_status(pod, container);
                let now = status.and_then(|status| {
                    Some((status.get("containerID")?.as_str()?, status.get("restartCount")?.as_u64()?))
                });
                now.is_some_and(|(now, again)| now != id && again == count + 1)
            })?;
        }
        if pod != "done" {
            here.ready(pod)?;
        }
    }
    let after = snapshot(here)?;
    ensure!(after.keys().eq(before.keys()), "before: {before:?}\nafter: {after:?}");
    ensure!(after.get("done") == before.get("done"), "what has ended ran again: {after:?}");
    Ok(())
}

/// Empties a node; its pods go to the other.
fn drain(cluster: &Cluster, from: &str, to: &str) -> Result<()> {
    cluster.cordon(to, false)?;
    let options = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=60s"];
    cluster.run(&[&["kubectl", "drain", from], &options[..]].concat())?.success().map(drop)
}

/// Pods that belong to nobody are gone; those of the Deployment are others.
fn is_replaced(here: &Namespace<'_>, before: &Snapshot) -> Result<()> {
    is_served(here)?;
    for pod in here.list(&here.path("pods"))? {
        let name = text(&pod, "/metadata/name")?;
        ensure!(!before.contains_key(name), "{name} was not evicted");
        ensure!(condition(&pod, "Ready") == Some("True"), "{name} is not ready");
    }
    // What the drain took away, so that as many run as before.
    for name in ["lone", "mixed"] {
        let class = if name == "mixed" { here.mode().native_class() } else { here.mode().class() };
        let sidecar =
            with(native_container("sidecar", "exec sleep 4321"), json!({"restartPolicy": "Always"}));
        let init = if name == "mixed" { json!([sidecar]) } else { json!([]) };
        here.pod(
            name,
            json!({
                "runtimeClassName": class, "restartPolicy": "Always", "initContainers": init,
                "containers": [guest_container("guest", "sleep", &[])],
            }),
        )?;
        here.ready(name)?;
    }
    Ok(())
}
