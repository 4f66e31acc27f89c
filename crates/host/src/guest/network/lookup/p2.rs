//! Of WASI 0.2: a stream of addresses, and a pollable that says when they have come.

use std::net::IpAddr;
use std::vec;

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, poll_noop, spawn};

use super::super::Unresolved;
use crate::guest::state::ComponentState;

/// A lookup on its way or its addresses: `resolve-address-stream`. Dropped, it is given up.
enum Addresses {
    Asked(AbortOnDropJoinHandle<Result<Vec<IpAddr>, Unresolved>>),
    Told(Result<vec::IntoIter<IpAddr>, Unresolved>),
}

/// The whole interface.
pub(in crate::guest) fn add_to_linker(linker: &mut Linker<ComponentState>) -> Result<()> {
    let mut interface = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    interface.resource("resolve-address-stream", ResourceType::host::<Addresses>(), |mut store, rep| {
        let table = store.data_mut().ctx().table;
        table.delete(Resource::<Addresses>::new_own(rep))?;
        Ok(())
    })?;
    interface.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, ComponentState>, (network, name): (Resource<Network>, String)| {
            Ok((ask(store.data_mut(), &network, name)?,))
        },
    )?;
    interface.func_wrap_async(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, ComponentState>, (stream,): (Resource<Addresses>,)| {
            Box::new(async move { Ok((next(store.data_mut(), &stream).await?,)) })
        },
    )?;
    interface.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, ComponentState>, (stream,): (Resource<Addresses>,)| {
            let pollable: Resource<DynPollable> = subscribe(store.data_mut().ctx().table, stream)?;
            Ok((pollable,))
        },
    )
}

fn ask(
    state: &mut ComponentState,
    network: &Resource<Network>,
    name: String,
) -> Result<Result<Resource<Addresses>, ErrorCode>> {
    // The resource is the capability to ask.
    state.ctx().table.get(network)?;
    let names = state.names().clone();
    if let Err(error) = names.may_ask(&name) {
        return Ok(Err(code(&error)));
    }
    let asked = spawn(async move { names.resolve(&name).await });
    Ok(Ok(state.ctx().table.push(Addresses::Asked(asked))?))
}

async fn next(
    state: &mut ComponentState,
    stream: &Resource<Addresses>,
) -> Result<Result<Option<IpAddress>, ErrorCode>> {
    let stream = state.ctx().table.get_mut(stream)?;
    if !stream.arrived() {
        // A guest that asks again and again shares its thread with the answer.
        tokio::task::yield_now().await;
    }
    if !stream.arrived() {
        return Ok(Err(ErrorCode::WouldBlock));
    }
    match stream {
        Addresses::Asked(_) => Ok(Err(ErrorCode::WouldBlock)),
        Addresses::Told(Ok(addresses)) => Ok(Ok(addresses.next().map(IpAddress::from))),
        Addresses::Told(Err(error)) => Ok(Err(code(error))),
    }
}

impl Addresses {
    fn arrived(&mut self) -> bool {
        if let Self::Asked(asked) = self
            && let Some(answer) = poll_noop(std::pin::Pin::new(asked))
        {
            *self = Self::Told(answer.map(Vec::into_iter));
        }
        matches!(self, Self::Told(_))
    }
}

#[async_trait::async_trait]
impl Pollable for Addresses {
    async fn ready(&mut self) {
        if let Self::Asked(asked) = self {
            *self = Self::Told(asked.await.map(Vec::into_iter));
        }
    }
}

fn code(error: &Unresolved) -> ErrorCode {
    match error {
        Unresolved::Denied => ErrorCode::AccessDenied,
        Unresolved::Invalid => ErrorCode::InvalidArgument,
        Unresolved::Unknown => ErrorCode::NameUnresolvable,
        Unresolved::Timeout | Unresolved::Unreachable(_) => ErrorCode::TemporaryResolverFailure,
        Unresolved::Refused(_) => ErrorCode::PermanentResolverFailure,
    }
}
