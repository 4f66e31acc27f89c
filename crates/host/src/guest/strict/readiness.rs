//! Whatever is waited for is ready: what is not yet there is waited for, and time stands still.
//!
//! Nothing in the strict profile can be waited for in vain: there are files, the standard streams, and clocks at most
//! that stand still.

use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamResult};
use wasmtime_wasi_io::bindings::wasi::io::poll::{Host as _, HostPollable as _};
use wasmtime_wasi_io::bindings::wasi::io::streams::{
    Host as _, HostInputStream as _, HostOutputStream as _, StreamError,
};

use super::super::state::ComponentState;

pub(super) const POLL: &str = "wasi:io/poll@0.2.12";
pub(super) const STREAMS: &str = "wasi:io/streams@0.2.12";

type Store<'a> = StoreContextMut<'a, ComponentState>;
type Answer<T> = Result<(Result<T, StreamError>,)>;

pub(super) fn poll(linker: &mut Linker<ComponentState>) -> Result<()> {
    let mut poll = linker.instance(POLL)?;
    poll.func_wrap_async(
        "[method]pollable.ready",
        |mut store: Store<'_>, (pollable,): (Resource<DynPollable>,)| {
            Box::new(async move {
                store.data_mut().ctx().table.block(pollable).await?;
                Ok((true,))
            })
        },
    )?;
    poll.func_wrap_async("poll", |mut store: Store<'_>, (pollables,): (Vec<Resource<DynPollable>>,)| {
        Box::new(async move { Ok((all(store.data_mut().ctx().table, pollables).await?,)) })
    })
}

async fn all(table: &mut ResourceTable, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
    for pollable in &pollables {
        table.block(Resource::new_borrow(pollable.rep())).await?;
    }
    match u32::try_from(pollables.len())? {
        // An error of the guest's, which it answers.
        0 => table.poll(pollables).await,
        count => Ok((0..count).collect()),
    }
}

pub(super) fn streams(linker: &mut Linker<ComponentState>) -> Result<()> {
    let mut streams = linker.instance(STREAMS)?;
    streams.func_wrap_async(
        "[method]input-stream.read",
        |mut store: Store<'_>, (stream, length): (Resource<DynInputStream>, u64)| {
            Box::new(async move {
                let table = store.data_mut().ctx().table;
                table.get_mut(&stream)?.ready().await;
                let read = table.read(stream, length);
                answer(table, read)
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]input-stream.skip",
        |mut store: Store<'_>, (stream, length): (Resource<DynInputStream>, u64)| {
            Box::new(async move {
                let table = store.data_mut().ctx().table;
                table.get_mut(&stream)?.ready().await;
                let skipped = table.skip(stream, length);
                answer(table, skipped)
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.check-write",
        |mut store: Store<'_>, (stream,): (Resource<DynOutputStream>,)| {
            Box::new(async move {
                let table = store.data_mut().ctx().table;
                table.get_mut(&stream)?.ready().await;
                let room = table.check_write(stream);
                answer(table, room)
            })
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.splice",
        |mut store: Store<'_>,
         (to, from, length): (Resource<DynOutputStream>, Resource<DynInputStream>, u64)| {
            Box::new(async move {
                let table = store.data_mut().ctx().table;
                table.get_mut(&to)?.ready().await;
                table.get_mut(&from)?.ready().await;
                let spliced = table.splice(to, from, length);
                answer(table, spliced)
            })
        },
    )
}

fn answer<T>(table: &mut ResourceTable, result: StreamResult<T>) -> Answer<T> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(table.convert_stream_error(error)?),)),
    }
}
