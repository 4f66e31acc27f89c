//! A Deployment whose pods are replaced while clients ask its Service.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use testkit::cluster::{Namespace, with};
use testkit::tell;

use crate::table::{Feature, feature};
use crate::workloads::{server, template};

pub const FEATURES: &[Feature] =
    &[feature("Deployment: rolling update under load, no request lost", rolling)];

/// For how long the clients ask, in seconds: the update takes less.
const LOAD: &str = "25s";

/// What `load.lua` says of a load: the requests that were sent, and lost.
fn counted(output: &str) -> Result<(u64, u64)> {
    let line = output.lines().find_map(|line| line.strip_prefix("requests sent: ")).context("no sum")?;
    let (sent, failed) = line.split_once(", failed: ").context("no sum")?;
    Ok((sent.parse()?, failed.parse()?))
}

fn rolling(here: &Namespace<'_>) -> Result<()> {
    // For as long as the news of a pod's end takes to those who send it requests.
    let server = with(server(), json!({"lifecycle": {"preStop": {"sleep": {"seconds": 6}}}}));
    let spec =
        json!({"restartPolicy": "Always", "terminationGracePeriodSeconds": 20, "containers": [server]});
    here.create(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": template(here, "web", spec),
        },
    }))?;
    here.service("web", 8080)?;
    here.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?.success()?;
    let url = format!("http://{}/hello", here.address("web")?);
    here.eventually("the Service answers", 30, || Ok(here.ask(&url)?.code == 0))?;
    let (outside, inside) = here.folder()?;
    fs::write(outside.join("load.lua"), include_str!("load.lua"))?;
    let script = format!("{inside}/load.lua");
    let load = |header: &str| {
        here.cluster().run(&[
            "wrk",
            "--threads",
            "1",
            "--connections",
            "4",
            "--duration",
            LOAD,
            // What takes longer is lost, as what is never answered is.
            "--timeout",
            "10s",
            "--script",
            &script,
            "--header",
            header,
            &url,
        ])
    };
    let (kept, fresh) = std::thread::scope(|scope| {
        let kept = scope.spawn(|| load("X-Kept: yes"));
        let fresh = scope.spawn(|| load("Connection: close"));
        let update = here.kubectl(&["rollout", "restart", "deployment/web"]).and_then(|_| {
            here.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"])?.success()
        });
        let end = |load: std::thread::ScopedJoinHandle<'_, Result<testkit::Outcome>>| {
            load.join().unwrap_or_else(|_| anyhow::bail!("a load panicked"))
        };
        let (kept, fresh) = (end(kept), end(fresh));
        update?;
        anyhow::Ok((kept?, fresh?))
    })?;
    for (who, load) in [("keep a connection", kept), ("make one each time", fresh)] {
        let (sent, lost) = counted(&load.stdout).with_context(|| load.to_string())?;
        tell(&format!(
            "rolling update ({}): of those who {who} {sent} requests, {lost} lost",
            here.mode().name()
        ));
        ensure!(sent > 100 && lost == 0, "of {sent} requests {lost} were lost: {load}");
    }
    Ok(())
}
