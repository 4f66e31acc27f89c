//! `wasi:config`: the container's environment.

use wasmtime::component::{ComponentType, Lift, Linker, Lower};
use wasmtime::{Result, StoreContextMut};

use super::super::state::ComponentState;

pub(super) const STORE: &str = "wasi:config/store@0.2.0-rc.1";

/// `error` of `wasi:config/store`. Here nothing ever fails.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

type Found<T> = Result<(std::result::Result<T, Error>,)>;

pub(super) fn store(linker: &mut Linker<ComponentState>) -> Result<()> {
    let mut store = linker.instance(STORE)?;
    store.func_wrap("get", |store: StoreContextMut<'_, ComponentState>, (key,): (String,)| {
        let entry = store.data().config.iter().find(|(name, _)| *name == key);
        Found::Ok((Ok(entry.map(|(_, value)| value.clone())),))
    })?;
    store.func_wrap("get-all", |store: StoreContextMut<'_, ComponentState>, (): ()| {
        Found::Ok((Ok(store.data().config.clone()),))
    })
}
