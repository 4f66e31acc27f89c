//! `-info` (containerd >= 2.2 asks each runtime once a task) and `-v`.

use std::io::Write;

use anyhow::Result;
use containerd_client::tonic::codegen::Bytes;
use containerd_client::types::{RuntimeInfo, RuntimeVersion};

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
        ..Default::default()
    };
    let bytes: Bytes = info.encode_to_vec().into();
    Ok(std::io::stdout().write_all(&bytes)?)
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
