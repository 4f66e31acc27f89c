//! From grants to WASI: argv, environment, files, sockets, streams.

use std::sync::Arc;

use grants::{Grants, Mode};
use wasmtime_wasi::WasiCtxBuilder;

use super::network::{self, Gate};
use super::root::Root;
use super::stdio::Stdio;
use super::{clock, limits, random};

/// What the store of a component is made with.
pub(super) struct Wasi {
    pub context: WasiCtxBuilder,
    pub root: Option<Root>,
}

/// The context of a guest, which has what its grants say, and no files yet.
pub(super) fn context(grants: &Grants, gate: &Arc<Gate>, stdio: &Stdio) -> WasiCtxBuilder {
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
    wasi
}
