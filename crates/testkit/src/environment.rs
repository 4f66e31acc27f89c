//! Where the things under test are.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::nest::Nest;

/// A folder that the environment variable `name` names.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os(name).with_context(|| {
        format!("{name} is not set: run this by scripts/test.sh, which knows the folders")
    })?;
    std::fs::canonicalize(&path).with_context(|| format!("{name}={} is no folder", path.display()))
}

/// The shim's program file.
pub fn shim_binary() -> Result<PathBuf> {
    Ok(folder("SHIM_DIR")?.join("containerd-shim-run-v2"))
}

/// A call of `run-wasm`, in a nest and its network.
pub fn command_line(nest: &Nest) -> Result<Command> {
    Ok(nest.command(folder("SHIM_DIR")?.join("run-wasm")))
}

/// The bytes of a guest of test-images, e.g. `hello.wasm`.
pub fn guest(file: &str) -> Result<Vec<u8>> {
    let path = folder("GUESTS")?.join(file);
    std::fs::read(&path)
        .with_context(|| format!("no guest {}: build it by scripts/guests.sh", path.display()))
}

/// The program that tries HTTP/2 servers for conformance.
pub fn h2spec() -> Result<PathBuf> {
    Ok(folder("H2SPEC_BIN")?.join("h2spec"))
}
