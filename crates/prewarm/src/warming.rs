//! One image: a container of it that never runs, from its creation until nothing of it is left.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use containerd_client::services::v1::container::Runtime;
use image::Digest;
use prost::Message;
use serde_json::json;

use crate::Options;
use crate::containerd::{Containerd, Made};
use crate::images::{self, Wasm};
use crate::recent::Recent;

/// The label of such containers, by which they are found again, and the annotation by which the shim knows them.
const MARK: &str = "run.wasm/prewarm";

/// How the ids of such containers begin. Labels of pods and of images become labels of others' containers.
const ID: &str = "run-wasm-prewarm-";

const RUNTIME: &str = "io.containerd.run.v2";

/// containerd's name for an OCI runtime spec in JSON.
const SPEC: &str = "types.containerd.io/opencontainers/runtime-spec/1/Spec";

/// The longest that the shim is waited for: twice the time that it gives a compiler by default, and as much for a busy node.
const PATIENCE: Duration = Duration::from_secs(600);

/// `runtimeoptions.v1.Options`, as far as the shim reads it.
#[derive(Clone, PartialEq, Message)]
struct RuntimeOptions {
    #[prost(string, tag = "2")]
    config_path: String,
}

/// Has an image compiled. `None`: there is nothing to compile. What is compiled already costs the shim a look.
pub async fn warm(
    containerd: &Containerd,
    name: &str,
    options: &Options,
    recent: &Recent,
) -> Result<Option<Digest>> {
    let Some(wasm) = images::wasm(containerd, name, options.most_bytes).await? else { return Ok(None) };
    if !recent.is_new(wasm.digest) {
        return Ok(None);
    }
    let compiled = compile(containerd, name, &wasm, options).await;
    if compiled.is_err() {
        recent.forget(&wasm.digest);
    }
    compiled.map(|()| Some(wasm.digest))
}

async fn compile(containerd: &Containerd, name: &str, wasm: &Wasm, options: &Options) -> Result<()> {
    let digest = wasm.digest.to_string();
    let id = format!("{ID}{:.32}", wasm.digest.hex());
    let made = Made {
        id: &id,
        image: name,
        label: (MARK, &digest),
        runtime: runtime(options),
        spec: spec(&wasm.args, &options.modes),
    };
    if !containerd.create_container(&made).await? {
        // Of a try that could not take it away.
        take_away(containerd, &id).await?;
        ensure!(
            containerd.create_container(&made).await?,
            "another agent compiles it: let one node have one agent"
        );
    }
    let task = containerd.create_task(&id, options.shim.as_deref());
    let compiled = tokio::time::timeout(PATIENCE, task).await;
    let taken_away = take_away(containerd, &id).await;
    compiled.with_context(|| format!("it took longer than {} s", PATIENCE.as_secs()))??;
    taken_away
}

/// Removes such a container, whatever has become of it.
pub async fn take_away(containerd: &Containerd, id: &str) -> Result<()> {
    containerd.delete_task(id).await?;
    containerd.delete_container(id).await
}

/// The containers of an agent that ended in the middle.
pub async fn left_behind(containerd: &Containerd) -> Result<Vec<String>> {
    let mut marked = containerd.containers_with(MARK).await?;
    marked.retain(|id| id.starts_with(ID));
    Ok(marked)
}

fn runtime(options: &Options) -> Runtime {
    let config = options.node_config.clone().map(|config_path| prost_types::Any {
        type_url: "runtimeoptions.v1.Options".to_owned(),
        value: RuntimeOptions { config_path }.encode_to_vec(),
    });
    Runtime { name: RUNTIME.to_owned(), options: config }
}

fn spec(args: &[String], modes: &str) -> prost_types::Any {
    let spec = json!({
        "ociVersion": "1.1.0",
        "process": { "user": { "uid": 65534, "gid": 65534 }, "args": args, "cwd": "/" },
        "root": { "path": "rootfs", "readonly": true },
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "network" }, { "type": "pid" }, { "type": "ipc" }] },
        "annotations": { MARK: modes },
    });
    prost_types::Any { type_url: SPEC.to_owned(), value: spec.to_string().into_bytes() }
}
