//! `containerd-shim-peer-v1`: the nearest peer, to be measured beside run-wasm. What `containerd-shim-wasm` does not decide
//! is decided here as runwasi's own Wasmtime shim does (pooling allocator, code compiled once and kept in containerd,
//! everything of WASI granted, HTTP served by a fresh instance for each request), or faster: no probing, no telemetry.

mod guest;
mod server;

use std::hash::Hash;

use anyhow::Result;
use containerd_shim_wasm::sandbox::Sandbox;
use containerd_shim_wasm::sandbox::context::{RuntimeContext, WasmBinaryType, WasmLayer};
use containerd_shim_wasm::shim::{Cli, Compiler, Shim};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

struct Peer;

impl Shim for Peer {
    type Sandbox = Wasm;

    /// A part of the labels under which containerd keeps the compiled code.
    fn name() -> &'static str {
        "runwasi"
    }

    #[allow(refining_impl_trait, reason = "nobody else implements this shim")]
    async fn compiler() -> Option<Precompiler> {
        Engine::new(&Config::new()).ok().map(Precompiler)
    }
}

/// Compiles layers when an image is run for the first time. Its engine needs no pool.
struct Precompiler(Engine);

impl Compiler for Precompiler {
    fn cache_key(&self) -> impl Hash {
        self.0.precompile_compatibility_hash()
    }

    async fn compile(&self, layers: &[WasmLayer]) -> Result<Vec<Option<Vec<u8>>>> {
        layers
            .iter()
            .map(|layer| match WasmBinaryType::from_bytes(&layer.layer) {
                Some(WasmBinaryType::Module) => Ok(Some(self.0.precompile_module(&layer.layer)?)),
                Some(WasmBinaryType::Component) => Ok(Some(self.0.precompile_component(&layer.layer)?)),
                // Compiled already.
                None => Ok(None),
            })
            .collect()
    }
}

/// What runs a guest, in a process of its own that libcontainer has made.
#[derive(Default)]
struct Wasm;

impl Sandbox for Wasm {
    async fn run_wasi(&self, context: &impl RuntimeContext) -> Result<i32> {
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(PoolingAllocationConfig::default()));
        let engine = Engine::new(&config)?;
        let entry = context.entrypoint();
        let wasi = guest::wasi(context.args(), context.envs())?;
        let code = entry.source.as_bytes()?;
        guest::run(&engine, &code, entry.source.is_precompiled()?, &entry.func, context.envs(), wasi).await
    }
}

fn main() {
    Peer::run(None);
}
