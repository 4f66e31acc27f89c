//! Compiled code, mapped from its file so that all containers of a node share one copy.
#![allow(unsafe_code, reason = "code from a file is run as it is; who may write the file decides")]

use std::path::Path;

use grants::Grants;
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

use super::PrepareError;
use crate::engine::{Build, Engines, Flavour, fits_a_pool};

pub(super) enum Code {
    /// With the flavour of its engine.
    Component(Component, Flavour),
    Module(Module),
}

/// Maps code for one engine: a component's, or a module's.
type Map = fn(&Engine, Flavour, &Path) -> wasmtime::Result<Code>;

/// Maps the code at `path` for a container with these grants. What does not fit any engine of its build, or is no code at all,
/// is [`PrepareError::Stale`].
pub(super) fn load(engines: &Engines, grants: &Grants, path: &Path) -> Result<Code, PrepareError> {
    std::fs::File::open(path).map_err(PrepareError::Code)?;
    let build = Build::of(grants);
    let [plain, concurrent, serving] = [Flavour::plain, Flavour::concurrent, Flavour::serving]
        .map(|flavour| flavour(build).dumping(grants.coredump().is_some()));
    // Most code is a plain component, and to ask first would mean to read the file twice.
    let error = match map(engines, plain, path, component) {
        Ok(component) => return Ok(component),
        Err(error) => error,
    };
    // An engine with a pool does not even load what needs far more than there is room for.
    let on_demand =
        |flavour, as_what: Map| engines.on_demand(flavour).and_then(|engine| as_what(&engine, flavour, path));
    match Engine::detect_precompiled_file(path) {
        Ok(Some(Precompiled::Module)) => {
            map(engines, plain, path, module).or_else(|_| on_demand(plain, module))
        }
        Ok(Some(Precompiled::Component)) => map(engines, concurrent, path, component)
            .or_else(|_| {
                let instances = grants.http().max_instances.get();
                let code = component(&engines.serving(serving, instances)?, serving, path)?;
                if code.fits_a_pool() { Ok(code) } else { on_demand(serving, component) }
            })
            .or_else(|_| on_demand(plain, component))
            .or_else(|_| on_demand(concurrent, component))
            .or_else(|_| on_demand(serving, component)),
        _ => Err(error),
    }
    .map_err(|error| PrepareError::Stale(format!("{error:#}")))
}

/// Maps it for a pooling engine first, where there are such; for another if it needs more than a pool has room for.
fn map(engines: &Engines, flavour: Flavour, path: &Path, map: Map) -> wasmtime::Result<Code> {
    let code = map(&engines.get(flavour)?, flavour, path)?;
    match code.fits_a_pool() {
        true => Ok(code),
        false => map(&engines.on_demand(flavour)?, flavour, path),
    }
}

impl Code {
    fn fits_a_pool(&self) -> bool {
        match self {
            // Without an answer it imports modules, which decide.
            Code::Component(component, _) => component.resources_required().as_ref().is_some_and(fits_a_pool),
            Code::Module(module) => fits_a_pool(&module.resources_required()),
        }
    }
}

fn component(engine: &Engine, flavour: Flavour, path: &Path) -> wasmtime::Result<Code> {
    // SAFETY: the file was written by this program's compiler and is writable for root alone; Wasmtime checks that
    // version and configuration are this engine's.
    let component = unsafe { Component::deserialize_file(engine, path) }?;
    Ok(Code::Component(component, flavour))
}

fn module(engine: &Engine, _: Flavour, path: &Path) -> wasmtime::Result<Code> {
    // SAFETY: as above.
    unsafe { Module::deserialize_file(engine, path) }.map(Code::Module)
}
