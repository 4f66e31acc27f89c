//! `-info` (containerd >= 2.2 asks each runtime once a task) and `-v`.

use std::io::Write;

use anyhow::Result;
use containerd_client::tonic::codegen::Bytes;
use containerd_client::types::{RuntimeInfo, RuntimeVersion};
use oci_spec::runtime::FeaturesBuilder;
use prost_types::Any;

use crate::RUNTIME;

/// Prints a `containerd.types.RuntimeInfo`.
pub fn info() -> Result<()> {
    use prost::Message as _;
    let info = RuntimeInfo {
        name: RUNTIME.to_owned(),
        version: Some(RuntimeVersion {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            revision: String::new(),
        }),
        features: Some(features()?),
        ..Default::default()
    };
    let bytes: Bytes = info.encode_to_vec().into();
    Ok(std::io::stdout().write_all(&bytes)?)
}

/// What runtimes tell of themselves (the runtime-spec's features.md), as containerd's typeurl has it: CRI finds in it whether a pod
/// may ask for recursive read-only mounts.
fn features() -> Result<Any> {
    let features = FeaturesBuilder::default()
        .oci_version_min("1.0.0")
        .oci_version_max("1.2.1")
        .mount_options(grants::mount_options().map(str::to_owned).collect::<Vec<_>>())
        .build()?;
    let type_url = "types.containerd.io/opencontainers/runtime-spec/1/features/Features".to_owned();
    Ok(Any { type_url, value: serde_json::to_vec(&features)? })
}

/// Prints the release for people.
pub fn version() -> Result<()> {
    println!(
        "containerd-shim-run-v2 {} ({RUNTIME}, {})",
        env!("CARGO_PKG_VERSION"),
        host::engine::tag(host::engine::Build {
            profile: grants::Profile::Standard,
            mode: grants::Mode::Normal
        })
    );
    Ok(())
}
