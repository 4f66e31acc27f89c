//! What a store holds beside the guest.

use std::collections::HashMap;
use std::sync::Arc;

use grants::Grants;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Result, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p2::bindings::filesystem::types::DirectoryEntry;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::Denials;
use super::http::Client;
use super::limits::{self, Meter};
use super::network::{Gate, Names};
use super::opening::Room;
use super::root::Root;
use super::stdio::Stdio;
use super::strict::Identities;
use super::wasi::Wasi;
use crate::tenants;

/// Of a component.
pub(super) struct ComponentState {
    wasi: WasiCtx,
    root: Option<Root>,
    table: ResourceTable,
    http: WasiHttpCtx,
    client: Client,
    meter: Meter,
    pub(super) gate: Arc<Gate>,
    pub(super) denials: Denials,
    /// The configuration that the guest may ask for: its environment.
    pub(super) config: Vec<(String, String)>,
    /// Where it logs to.
    pub(super) stdio: Stdio,
    pub(super) identities: Identities,
    pub(super) room: Room,
    /// What is left of the directory listings that it has open, by the handles of their streams.
    pub(super) listings: HashMap<u32, std::vec::IntoIter<DirectoryEntry>>,
}

/// Of a core module with WASI preview 1.
pub(super) struct ModuleState {
    pub(super) wasi: WasiP1Ctx,
    pub(super) identities: Identities,
    pub(super) room: Room,
    meter: Meter,
}

/// A component's store, with all limits set.
pub(super) fn component(
    engine: &Engine,
    grants: &Grants,
    client: Client,
    gate: Arc<Gate>,
    Wasi { context: mut wasi, root }: Wasi,
    stdio: &Stdio,
    meter: Meter,
) -> Result<Store<ComponentState>> {
    let limit = grants.memory_limit();
    let denials = client.names().denials().clone();
    let mut table = ResourceTable::new();
    table.set_max_capacity(limits::HANDLES);
    let state = ComponentState {
        wasi: wasi.build(),
        root,
        table,
        http: WasiHttpCtx::new(),
        client,
        meter,
        gate,
        denials,
        config: grants.env().to_vec(),
        stdio: stdio.clone(),
        identities: Identities::default(),
        room: Room::of(grants),
        listings: HashMap::new(),
    };
    let mut store = Store::new(engine, state);
    make_way(&mut store);
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(limits::per_call(limit, grants.mode()));
    store.set_max_component_handles(limits::HANDLES);
    if let Some(tasks) = store.concurrent_resource_table() {
        tasks.set_max_capacity(limits::HANDLES);
    }
    grants.fuel().map_or(Ok(()), |units| store.set_fuel(units))?;
    Ok(store)
}

/// A module's store, with all limits set.
pub(super) fn module(
    engine: &Engine,
    grants: &Grants,
    mut wasi: WasiCtxBuilder,
) -> Result<Store<ModuleState>> {
    let limit = grants.memory_limit();
    let mut wasi = wasi.build_p1();
    wasi.ctx().table.set_max_capacity(limits::HANDLES);
    let meter = Meter::new(limit, grants.profile());
    let mut store = Store::new(
        engine,
        ModuleState { wasi, identities: Identities::default(), room: Room::of(grants), meter },
    );
    make_way(&mut store);
    store.limiter(|state| &mut state.meter);
    store.set_hostcall_fuel(limits::per_call(limit, grants.mode()));
    grants.fuel().map_or(Ok(()), |units| store.set_fuel(units))?;
    Ok(store)
}

/// Where time is told to the code of guests, which [`crate::engine::Flavour::interruptible`] decides, each makes way for others.
fn make_way<T>(store: &mut Store<T>) {
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|_| tenants::make_way());
}

impl ComponentState {
    /// Its `/`, and where descriptors of it go.
    pub(super) fn files(&mut self) -> (Option<&Root>, &mut ResourceTable) {
        (self.root.as_ref(), &mut self.table)
    }

    /// Who answers for names.
    pub(super) fn names(&self) -> &Arc<Names> {
        self.client.names()
    }
}

impl WasiView for ComponentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for ComponentState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.client, table: &mut self.table, ctx: &mut self.http }
    }
}
