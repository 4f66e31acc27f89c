//! A guest that asks again and again instead of waiting must still see the world move.
//!
//! Guest and event loop share one thread, and the loop turns only while the guest waits. The calls by which a guest
//! spins let it turn once when they would have nothing to say.

use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::{DynInputStream, DynPollable};
use wasmtime_wasi_io::bindings::wasi::io::poll::HostPollable as _;
use wasmtime_wasi_io::bindings::wasi::io::streams::{Host as _, HostInputStream as _, StreamError};

use super::state::ComponentState;

type Bytes = Result<Vec<u8>, StreamError>;

/// Replaces `ready` in `linker`, which has the rest of `wasi:io/poll` already.
pub(super) fn poll(linker: &mut Linker<ComponentState>) -> Result<()> {
    linker.allow_shadowing(true).instance("wasi:io/poll@0.2.12")?.func_wrap_async(
        "[method]pollable.ready",
        |mut store: StoreContextMut<'_, ComponentState>, (pollable,): (Resource<DynPollable>,)| {
            Box::new(async move { Ok((ready(store.data_mut().ctx().table, pollable).await?,)) })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Replaces `read` in `linker`, which has the rest of `wasi:io/streams` already.
pub(super) fn streams(linker: &mut Linker<ComponentState>) -> Result<()> {
    linker.allow_shadowing(true).instance("wasi:io/streams@0.2.12")?.func_wrap_async(
        "[method]input-stream.read",
        |mut store: StoreContextMut<'_, ComponentState>,
         (stream, length): (Resource<DynInputStream>, u64)| {
            Box::new(async move { Ok((read(store.data_mut().ctx().table, stream, length).await?,)) })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn ready(table: &mut ResourceTable, pollable: Resource<DynPollable>) -> Result<bool> {
    if table.ready(Resource::new_borrow(pollable.rep())).await? {
        return Ok(true);
    }
    tokio::task::yield_now().await;
    table.ready(pollable).await
}

async fn read(table: &mut ResourceTable, stream: Resource<DynInputStream>, length: u64) -> Result<Bytes> {
    let mut read = table.read(Resource::new_borrow(stream.rep()), length);
    if length > 0 && read.as_ref().is_ok_and(Vec::is_empty) {
        tokio::task::yield_now().await;
        read = table.read(stream, length);
    }
    match read {
        Ok(bytes) => Ok(Ok(bytes)),
        Err(error) => table.convert_stream_error(error).map(Err),
    }
}
