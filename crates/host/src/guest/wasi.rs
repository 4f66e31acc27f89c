//! From grants to WASI: argv, environment, files, sockets, streams.

use std::path::Path;

use grants::Grants;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::stdio::Stdio;
use super::{PrepareError, network};

/// The context of a guest, which has what its grants say and `root` as `/`.
pub(super) fn context(
    grants: &Grants,
    root: Option<&Path>,
    stdio: &Stdio,
) -> Result<WasiCtxBuilder, PrepareError> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.args(grants.args())
        .envs(grants.env())
        .initial_cwd(grants.cwd())
        .stdin(stdio.input.clone())
        .stdout(stdio.output.clone())
        .stderr(stdio.error.clone())
        // The guest has the thread to itself: what blocks it may block the thread, and no pool of threads is needed.
        .allow_blocking_current_thread(true);
    network::allow(&mut wasi, grants);
    if let Some(root) = root {
        let permissions = if grants.root().readonly { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        wasi.preopened_dir(root, "/", permissions)
            .map_err(|error| PrepareError::Root(format!("{error:#}")))?;
    }
    Ok(wasi)
}
