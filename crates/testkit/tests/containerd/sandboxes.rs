//! The sandbox service, called as containerd 2.3 and later call it where a handler says `sandboxer = "shim"`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::{Result, ensure};
use containerd_shim_protos::sandbox_api::{
    CreateSandboxRequest, CreateSandboxResponse, PingRequest, PingResponse, PlatformRequest,
    PlatformResponse, SandboxMetricsRequest, SandboxMetricsResponse, SandboxStatusRequest,
    SandboxStatusResponse, ShutdownSandboxRequest, ShutdownSandboxResponse, StartSandboxRequest,
    StartSandboxResponse, StopSandboxRequest, StopSandboxResponse, UpdateSandboxRequest,
    UpdateSandboxResponse, WaitSandboxRequest, WaitSandboxResponse,
};
use prost::Message as _;
use protobuf::well_known_types::any::Any;
use testkit::cri::{PodMetadata, PodSandboxConfig};
use testkit::{Bundle, Generation, Nest, Shim, alone, eventually, mode};

const POD: &str = "pod";

fn id() -> String {
    POD.to_owned()
}

fn create(shim: &Shim<'_>, bundle: &Bundle<'_>, netns: &str, mode: Option<&str>) -> Result<()> {
    let config = PodSandboxConfig {
        metadata: Some(PodMetadata { name: "web".into(), uid: "u".into(), namespace: "shop".into() }),
        annotations: mode.map(|mode| ("run.wasm/mode".to_owned(), mode.to_owned())).into_iter().collect(),
        ..PodSandboxConfig::default()
    };
    let options = Any {
        type_url: "type.googleapis.com/runtime.v1.PodSandboxConfig".into(),
        value: config.encode_to_vec(),
        ..Any::default()
    };
    let request = CreateSandboxRequest {
        sandbox_id: id(),
        bundle_path: bundle.path().display().to_string(),
        options: Some(options).into(),
        netns_path: netns.to_owned(),
        ..CreateSandboxRequest::default()
    };
    shim.call_sandbox::<_, CreateSandboxResponse>("CreateSandbox", &request).map(drop)
}

fn state(shim: &Shim<'_>) -> Result<SandboxStatusResponse> {
    let request = SandboxStatusRequest { sandbox_id: id(), verbose: true, ..SandboxStatusRequest::default() };
    shim.call_sandbox("SandboxStatus", &request)
}

fn shutdown(shim: &Shim<'_>) -> Result<()> {
    let request = ShutdownSandboxRequest { sandbox_id: id(), ..ShutdownSandboxRequest::default() };
    shim.call_sandbox::<_, ShutdownSandboxResponse>("ShutdownSandbox", &request).map(drop)
}

/// A network namespace at `/run/netns/pod` of the nest, taken away in the end.
fn in_a_network(nest: &Nest, story: impl FnOnce(&str) -> Result<()>) -> Result<()> {
    let ip = |action: &str| -> Result<()> {
        let done = nest.command("ip").args(["netns", action, POD]).status()?;
        ensure!(done.success(), "ip netns {action}: {done}");
        Ok(())
    };
    ip("add")?;
    let result = story("/run/netns/pod");
    ip("delete")?;
    // What ip leaves behind is a mount of the folder on itself.
    nest.command("umount").arg("/run/netns").status()?;
    result
}

#[test]
fn a_pod_lives_and_ends_by_the_sandbox_service() -> Result<()> {
    alone(|nest| {
        in_a_network(nest, |netns| {
            let sandbox = Bundle::sandbox(nest, POD)?;
            let shim = sandbox.shim(Generation::V3)?;
            create(&shim, &sandbox, netns, None)?;

            let request = PlatformRequest { sandbox_id: id(), ..PlatformRequest::default() };
            let platform: PlatformResponse = shim.call_sandbox("Platform", &request)?;
            let platform = platform.platform;
            ensure!(
                (platform.os.as_str(), platform.architecture.is_empty()) == ("linux", false),
                "{platform:?}"
            );

            let request = StartSandboxRequest { sandbox_id: id(), ..StartSandboxRequest::default() };
            let started: StartSandboxResponse = shim.call_sandbox("StartSandbox", &request)?;
            ensure!(started.pid > 0 && started.created_at.seconds > 0, "{started:?}");
            let ready = state(&shim)?;
            ensure!(ready.state == "SANDBOX_READY" && ready.pid == started.pid, "{ready:?}");
            ensure!(
                ready.info.get("info").is_some_and(|info| info.contains("io.containerd.run.v2")),
                "{ready:?}"
            );
            let request = PingRequest { sandbox_id: id(), ..PingRequest::default() };
            shim.call_sandbox::<_, PingResponse>("PingSandbox", &request)?;

            // A container of the pod finds the pod's shim, and the pod's network.
            let bundle = Bundle::of_pod(nest, "app", "sleep.wasm", POD)?;
            let app = bundle.shim(Generation::V3)?;
            let pid = app.create()?;
            app.start()?;
            eventually("it sleeps", 60, || Ok(app.output().contains("sleeping")))?;
            if !mode::is_shared() {
                let own = nest.hosts()?.into_iter().next();
                let own = own.map(|host| fs::metadata(format!("/proc/{}/ns/net", host.pid))).transpose()?;
                let pods = fs::metadata(nest.see(netns))?;
                ensure!(
                    own.is_some_and(|own| own.ino() == pods.ino()),
                    "the host {pid} is not in the pod's network"
                );
            }
            app.kill(15)?;
            ensure!(app.wait()? == 143);
            app.delete()?;
            app.shutdown()?;
            ensure!(state(&shim)?.state == "SANDBOX_READY", "the shim outlives the pod's last container");

            let request = SandboxMetricsRequest { sandbox_id: id(), ..SandboxMetricsRequest::default() };
            let metrics: SandboxMetricsResponse = shim.call_sandbox("SandboxMetrics", &request)?;
            ensure!(metrics.metrics.data.type_url.starts_with("io.containerd.cgroups.v"), "{metrics:?}");

            let request = StopSandboxRequest { sandbox_id: id(), ..StopSandboxRequest::default() };
            shim.call_sandbox::<_, StopSandboxResponse>("StopSandbox", &request)?;
            let request = WaitSandboxRequest { sandbox_id: id(), ..WaitSandboxRequest::default() };
            let end: WaitSandboxResponse = shim.call_sandbox("WaitSandbox", &request)?;
            ensure!(end.exit_status == 0 && end.exited_at.seconds > 0, "{end:?}");
            ensure!(state(&shim)?.state == "SANDBOX_NOTREADY");
            shutdown(&shim)?;
            Ok(fs::remove_dir_all(sandbox.path())?)
        })
    })
}

#[test]
fn a_pod_of_another_mode_than_its_handlers_is_refused_and_its_shim_ends() -> Result<()> {
    alone(|nest| {
        let sandbox = Bundle::sandbox(nest, POD)?;
        let shim = sandbox.shim(Generation::V3)?;
        let other = if mode::is_shared() { "normal" } else { "shared" };
        let refusal = create(&shim, &sandbox, "", Some(other))
            .map_or_else(|error| error.to_string(), |()| String::new());
        ensure!(
            refusal.contains(&format!("run.wasm/mode: {other} of this pod does not fit its handler")),
            "{refusal}"
        );
        // What containerd does with a sandbox that could not be made.
        shutdown(&shim)?;
        sandbox.call("delete")?;
        Ok(fs::remove_dir_all(sandbox.path())?)
    })
}

#[test]
fn a_sandbox_that_is_not_there_is_not_found_and_updates_are_not_implemented() -> Result<()> {
    alone(|nest| {
        let sandbox = Bundle::sandbox(nest, POD)?;
        let shim = sandbox.shim(Generation::V3)?;
        let request = PingRequest { sandbox_id: id(), ..PingRequest::default() };
        let answer = shim.call_sandbox::<_, PingResponse>("PingSandbox", &request);
        ensure!(answer.is_err_and(|error| error.to_string().starts_with("NOT_FOUND")));
        let request = UpdateSandboxRequest::default();
        let answer = shim.call_sandbox::<_, UpdateSandboxResponse>("UpdateSandbox", &request);
        ensure!(answer.is_err_and(|error| error.to_string().starts_with("UNIMPLEMENTED")));
        create(&shim, &sandbox, "", None)?;
        let again = create(&shim, &sandbox, "", None);
        ensure!(again.is_err_and(|error| error.to_string().starts_with("ALREADY_EXISTS")));
        shutdown(&shim)?;
        sandbox.call("delete")?;
        Ok(fs::remove_dir_all(sandbox.path())?)
    })
}
