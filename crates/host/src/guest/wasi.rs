//! From grants to WASI: argv, environment, files, sockets, streams.

use std::path::Path;
use std::sync::Arc;

use grants::{Grants, Mode};
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::PrepareError;
use super::network::{self, Gate};
use super::stdio::Stdio;
use super::{clock, limits, random};

/// The context of a guest, which has what its grants say and `root` as `/`.
pub(super) fn context(
    grants: &Grants,
    gate: &Arc<Gate>,
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
    clock::set(&mut wasi, grants.clock());
    random::set(&mut wasi, grants.random());
    if grants.mode() == Mode::Shared {
        wasi.max_random_size(limits::per_call(grants.memory_limit(), Mode::Shared) as u64);
    }
    network::allow(&mut wasi, gate);
    if let Some(root) = root {
        // The kernel keeps a read-only root read-only, mount by mount. One preopen has one permission for the root and
        // for the volumes in it: it can say so as well only where none of them is writable.
        let writable = grants.volumes().iter().any(|volume| !volume.readonly);
        let permissions =
            if grants.root().readonly && !writable { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
        wasi.preopened_dir(root, "/", permissions)
            .map_err(|error| PrepareError::Root(format!("{error:#}")))?;
    }
    Ok(wasi)
}
