//! Core modules: WASI preview 1 commands, and single functions.

use grants::Grants;
use wasmtime::{Engine, ExternType, Func, FuncType, Instance, InstancePre, Linker, Result, Store, Val};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder, p1};

use super::coredump::Dump;
use super::errors::list;
use super::opening;
use super::preview1::{self, PREVIEW1};
use super::state::{self, ModuleState};
use super::stdio::Stdio;
use super::{Denials, Outcome, PrepareError};

const PROVIDED: &str = "core modules find WASI preview 1 here (`wasi_snapshot_preview1`)";
const EXPECTED: &str = "a core module has `_start`, or a function that is named as `path#function`";

/// What a command's entry point is called, and a library's constructor.
const START: &str = "_start";
const INITIALIZE: &str = "_initialize";

/// A module that is linked, for any container with the same code and the same kinds of grants.
#[derive(Clone)]
pub(super) struct Linked {
    module: InstancePre<ModuleState>,
    function: String,
    results: usize,
}

/// A module that is ready to be instantiated.
pub(super) struct Module {
    store: Store<ModuleState>,
    linked: Linked,
    results: Vec<Val>,
    fuel: Option<u64>,
    dump: Option<Dump>,
}

impl Linked {
    pub fn new(module: &wasmtime::Module, grants: &Grants) -> Result<Linked, PrepareError> {
        let wanted = grants.entry().function.as_deref();
        let results = target(module, wanted)?.results().len();
        let module = linker(module.engine(), grants)
            .and_then(|linker| linker.instantiate_pre(module))
            .map_err(|error| PrepareError::import(&error, PROVIDED))?;
        Ok(Linked { module, function: wanted.unwrap_or(START).to_owned(), results })
    }

    /// Gives it a store of its own.
    pub fn prepare(
        self,
        grants: &Grants,
        wasi: WasiCtxBuilder,
        dump: Option<Dump>,
    ) -> Result<Module, PrepareError> {
        let store = state::module(self.module.module().engine(), grants, wasi);
        let store = store.map_err(|error| PrepareError::Engine(format!("{error:#}")))?;
        let results = vec![Val::I32(0); self.results];
        Ok(Module { store, linked: self, results, fuel: grants.fuel(), dump })
    }
}

fn linker(engine: &Engine, grants: &Grants) -> Result<Linker<ModuleState>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |state: &mut ModuleState| &mut state.wasi)?;
    opening::p1(&mut linker)?;
    // Wasmtime's own traps on codes from 126 on, such as those of a guest that reports a signal.
    linker.allow_shadowing(true);
    linker.func_wrap(PREVIEW1, "proc_exit", |code: i32| -> Result<()> { Err(I32Exit(code).into()) })?;
    preview1::restrict(&mut linker, grants)?;
    Ok(linker)
}

/// The type of the function to run, which takes nothing.
fn target(module: &wasmtime::Module, wanted: Option<&str>) -> Result<FuncType, PrepareError> {
    let Some(ExternType::Func(ty)) = module.get_export(wanted.unwrap_or(START)) else {
        let functions = module.exports().filter(|export| matches!(export.ty(), ExternType::Func(_)));
        let functions = list(&functions.map(|export| export.name().to_owned()).collect::<Vec<_>>());
        return Err(match wanted {
            Some(wanted) => PrepareError::NoFunction { wanted: wanted.to_owned(), functions },
            None => PrepareError::World { exports: functions, expected: EXPECTED },
        });
    };
    let parameters: Vec<_> = ty.params().map(|ty| ty.to_string()).collect();
    match parameters.is_empty() {
        true => Ok(ty),
        false => Err(PrepareError::Parameters {
            function: wanted.unwrap_or(START).to_owned(),
            parameters: parameters.join(", "),
        }),
    }
}

impl Module {
    pub async fn run(mut self, stdio: &Stdio, denials: &Denials) -> Outcome {
        match self.call().await {
            Ok(()) => {
                self.results.iter().for_each(|value| stdio.output.report(&text(value)));
                Outcome::exit(0)
            }
            Err(error) => {
                let mut outcome = Outcome::from_error(&error, self.fuel, denials);
                if let Some(dump) = &self.dump {
                    dump.after(&mut outcome, &error, &mut self.store).await;
                }
                outcome
            }
        }
    }

    async fn call(&mut self) -> Result<()> {
        let instance = self.linked.module.instantiate_async(&mut self.store).await?;
        if self.linked.function != START && instance.get_func(&mut self.store, INITIALIZE).is_some() {
            function(&instance, &mut self.store, INITIALIZE)?
                .call_async(&mut self.store, &[], &mut [])
                .await?;
        }
        let function = function(&instance, &mut self.store, &self.linked.function)?;
        function.call_async(&mut self.store, &[], &mut self.results).await
    }
}

fn function(instance: &Instance, store: &mut Store<ModuleState>, name: &str) -> Result<Func> {
    instance
        .get_func(store, name)
        .ok_or_else(|| wasmtime::Error::msg(format!("the function `{name}` is gone")))
}

fn text(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        other => format!("{other:?}"),
    }
}
