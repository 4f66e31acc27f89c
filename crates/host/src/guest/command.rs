//! Components: commands, and single functions.

use std::sync::Arc;

use grants::Grants;
use wasmtime::component::{Component, ComponentExportIndex, Func, Instance, InstancePre, Val};
use wasmtime::{Result, Store};

use super::coredump::Dump;
use super::export::Call;
use super::http::Client;
use super::interfaces::{self, PROVIDED};
use super::limits::Meter;
use super::network::Gate;
use super::state::{self, ComponentState};
use super::stdio::Stdio;
use super::wasi::Wasi;
use super::{Denials, Outcome, PrepareError, value};

/// A component that is linked, for any container with the same code and the same kinds of grants.
#[derive(Clone)]
pub(super) struct Linked {
    component: InstancePre<ComponentState>,
    target: Call,
}

/// A component that is ready to be instantiated.
pub(super) struct Command {
    store: Store<ComponentState>,
    linked: Linked,
    fuel: Option<u64>,
    dump: Option<Dump>,
}

impl Linked {
    pub fn new(component: &Component, target: Call, grants: &Grants) -> Result<Linked, PrepareError> {
        let component = interfaces::linker(component, grants)
            .and_then(|linker| linker.instantiate_pre(component))
            .map_err(|error| PrepareError::import(&error, PROVIDED))?;
        Ok(Linked { component, target })
    }

    /// Gives it a store of its own.
    pub fn prepare(
        self,
        grants: &Grants,
        client: Client,
        gate: Arc<Gate>,
        wasi: Wasi,
        stdio: &Stdio,
        dump: Option<Dump>,
    ) -> Result<Command, PrepareError> {
        let meter = Meter::new(grants.memory_limit(), grants.profile());
        let store = state::component(self.component.engine(), grants, client, gate, wasi, stdio, meter);
        let store = store.map_err(|error| PrepareError::Engine(format!("{error:#}")))?;
        Ok(Command { store, linked: self, fuel: grants.fuel(), dump })
    }
}

impl Command {
    pub async fn run(mut self, stdio: &Stdio, denials: &Denials) -> Outcome {
        let error = match self.call(stdio).await {
            Ok(outcome) => return outcome,
            Err(error) => error,
        };
        let mut outcome = Outcome::from_error(&error, self.fuel, denials);
        if let Some(dump) = &self.dump {
            dump.after(&mut outcome, &error, &mut self.store).await;
        }
        outcome
    }

    async fn call(&mut self, stdio: &Stdio) -> Result<Outcome> {
        let instance = self.linked.component.instantiate_async(&mut self.store).await?;
        match &self.linked.target {
            Call::Run(index) => {
                let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut self.store, index)?;
                let (result,) = run.call_async(&mut self.store, ()).await?;
                Ok(Outcome::exit(result.is_err().into()))
            }
            Call::Function { index, results } => {
                let mut values = vec![Val::Bool(false); *results];
                function(&instance, &mut self.store, index)?
                    .call_async(&mut self.store, &[], &mut values)
                    .await?;
                values.iter().for_each(|value| stdio.output.report(&value::text(value)));
                Ok(Outcome::exit(values.iter().any(|value| matches!(value, Val::Result(Err(_)))).into()))
            }
        }
    }
}

fn function(
    instance: &Instance,
    store: &mut Store<ComponentState>,
    index: &ComponentExportIndex,
) -> Result<Func> {
    instance
        .get_func(store, index)
        .ok_or_else(|| wasmtime::Error::msg("the function is gone from the instance"))
}
