//! Pods by the sandbox service, under the newest containerd with `sandboxer = "shim"`: no pause container, no pause image.

use anyhow::{Result, ensure};
use testkit::cri::ContainerState;
use testkit::{Node, Version, eventually, mode, told_on_a_node};

fn told(story: impl FnOnce(&Node) -> Result<()>) -> Result<()> {
    told_on_a_node(Version::Newest, story)
}

#[test]
fn a_pod_runs_and_goes() -> Result<()> {
    told(|node| {
        let pod = node.pod("web").run()?;
        ensure!(pod.is_ready()? && !pod.ip()?.is_empty());
        let hello = pod.guest("hello", "hello.wasm")?.start()?;
        ensure!(hello.end()?.exit_code == 0 && hello.output("stdout")? == "hello from run-wasm\n");
        let sleep = pod.guest("sleep", "sleep.wasm")?.start()?;
        sleep.says("sleeping")?;
        ensure!(node.shims()?.len() == 1, "a pod, or all pods of the shared mode, have one shim");
        ensure!(node.stats(Some(pod.id()))?.len() == 2, "all of its containers have stats");
        ensure!(pod.is_ready()?);
        sleep.stop(30)?;
        ensure!(sleep.end()?.exit_code == 143);
        pod.remove()
    })
}

#[test]
fn kubelet_is_told_that_volumes_may_be_read_only_with_all_below_them() -> Result<()> {
    told(|node| {
        let features = node.features("run")?;
        ensure!(features.recursive_read_only_mounts && !features.user_namespaces, "{features:?}");
        Ok(())
    })
}

#[test]
fn containers_are_in_their_pods_network() -> Result<()> {
    told(|node| {
        let pod = node.pod("server").run()?;
        let address = format!("{}:8080", pod.ip()?);
        let server =
            pod.guest("server", "sockets.wasm")?.port(8080, "TCP").args(["accept", &address]).start()?;
        server.says("ok listening")?;
        let client = node.pod("client").run()?;
        let connect = client.guest("client", "sockets.wasm")?.annotation("run.wasm/egress", &address);
        let connect = connect.args(["connect", &address]).start()?;
        ensure!(connect.end()?.exit_code == 0, "{:?}", connect.log()?);
        ensure!(server.end()?.exit_code == 0, "{:?}", server.log()?);
        client.remove()?;
        pod.remove()
    })
}

#[test]
fn a_pod_of_another_mode_than_its_handlers_is_refused_and_leaves_nothing() -> Result<()> {
    told(|node| {
        let other = if mode::is_shared() { "normal" } else { "shared" };
        let refused = node.pod("other").annotation("run.wasm/mode", other).run();
        let sentence = refused.map_or_else(|error| format!("{error:#}"), |_| String::new());
        ensure!(sentence.contains("does not fit its handler"), "{sentence}");
        Ok(())
    })
}

#[test]
fn a_restarted_containerd_finds_its_pods_again() -> Result<()> {
    told(|node| {
        let pod = node.pod("survivor").run()?;
        let ticker = pod.guest("ticker", "ticker.wasm")?.start()?;
        ticker.says("tick 1\n")?;
        node.containerd().kill()?;
        node.containerd().begin()?;
        eventually("CRI answers", 30, || Ok(pod.is_ready().unwrap_or(false)))?;
        ensure!(ticker.status()?.state() == ContainerState::Running);
        let late = pod.guest("late", "hello.wasm")?.start()?;
        ensure!(late.end()?.exit_code == 0, "the pod takes new containers");
        ticker.stop(30)?;
        ensure!(ticker.end()?.exit_code == 143);
        pod.remove()
    })
}

#[test]
fn a_shim_that_is_killed_makes_its_pod_not_ready_and_leaves_nothing() -> Result<()> {
    told(|node| {
        let pod = node.pod("hurt").run()?;
        let sleep = pod.guest("sleep", "sleep.wasm")?.start()?;
        sleep.says("sleeping")?;
        for shim in node.shims()? {
            node.nest().end(&shim, rustix::process::Signal::KILL)?;
        }
        eventually("the pod is not ready", 30, || Ok(!pod.is_ready().unwrap_or(true)))?;
        ensure!(sleep.end()?.exit_code != 0);
        pod.remove_at_last()
    })
}
