//! One guest: loaded, linked to all of WASI, run to its end.

use anyhow::{Context, Result};
use wasmtime::component::{Component, Linker as ComponentLinker, ResourceTable};
use wasmtime::{Engine, Linker, Module, Precompiled, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::server::Server;

struct State {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// All of WASI, as runwasi grants it.
pub fn wasi(args: &[String], envs: &[String]) -> Result<WasiCtxBuilder> {
    let envs: Vec<_> = envs.iter().map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let mut wasi = WasiCtxBuilder::new();
    wasi.args(args).envs(&envs).inherit_stdio().inherit_network().allow_ip_name_lookup(true);
    wasi.preopened_dir("/", "/", FsPerms::ReadWrite)?;
    Ok(wasi)
}

enum Code {
    Component(Component),
    Module(Module),
}

/// Runs `code` and returns its exit code; a server runs until it is killed.
pub async fn run(
    engine: &Engine,
    code: &[u8],
    precompiled: bool,
    func: &str,
    envs: &[String],
    mut wasi: WasiCtxBuilder,
) -> Result<i32> {
    let result = match load(engine, code, precompiled)? {
        Code::Component(component) => match Server::of(engine, &component, envs)? {
            Some(server) => return server.serve().await.map(|()| 0),
            None => command(engine, &component, wasi.build()).await,
        },
        Code::Module(module) => start(engine, &module, func, wasi.build_p1()).await,
    };
    result.or_else(|error| error.downcast_ref::<I32Exit>().map(|exit| exit.0).ok_or(error))
}

fn load(engine: &Engine, code: &[u8], precompiled: bool) -> Result<Code> {
    if !precompiled {
        return match Component::from_binary(engine, code) {
            Ok(component) => Ok(Code::Component(component)),
            Err(_) => Ok(Code::Module(Module::from_binary(engine, code)?)),
        };
    }
    match Engine::detect_precompiled(code).context("no compiled code")? {
        // SAFETY: containerd-shim-wasm vouches for it: our own compiler wrote it.
        Precompiled::Component => Ok(Code::Component(unsafe { Component::deserialize(engine, code) }?)),
        // SAFETY: as above.
        Precompiled::Module => Ok(Code::Module(unsafe { Module::deserialize(engine, code) }?)),
    }
}

async fn command(engine: &Engine, component: &Component, wasi: WasiCtx) -> Result<i32> {
    let mut linker = ComponentLinker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let mut store = Store::new(engine, State { wasi, table: ResourceTable::default() });
    let command = Command::instantiate_async(&mut store, component, &linker).await?;
    let result = command.wasi_cli_run().call_run(&mut store).await?;
    Ok(result.is_err().into())
}

async fn start(engine: &Engine, module: &Module, func: &str, wasi: WasiP1Ctx) -> Result<i32> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p1::add_to_linker_async(&mut linker, |wasi| wasi)?;
    let mut store = Store::new(engine, wasi);
    let instance = linker.instantiate_async(&mut store, module).await?;
    let start = instance.get_typed_func::<(), ()>(&mut store, func)?;
    start.call_async(&mut store, ()).await?;
    Ok(0)
}
