//! Compiled code, mapped from its file so that all containers of a node share one copy.
#![allow(unsafe_code, reason = "code from a file is run as it is; who may write the file decides")]

use std::path::Path;

use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

use super::PrepareError;

pub(super) enum Code {
    Component(Component),
    Module(Module),
}

/// Maps the code at `path`. What does not fit this engine, or is no code at all, is [`PrepareError::Stale`].
pub(super) fn load(engine: &Engine, path: &Path) -> Result<Code, PrepareError> {
    let stale = |error: wasmtime::Error| PrepareError::Stale(format!("{error:#}"));
    std::fs::File::open(path).map_err(PrepareError::Code)?;
    // Most code is a component, and to ask first would mean to read the file twice.
    //
    // SAFETY: the file was written by this program's compiler and is writable for root alone; Wasmtime checks that
    // version and configuration are this engine's.
    let error = match unsafe { Component::deserialize_file(engine, path) } {
        Ok(component) => return Ok(Code::Component(component)),
        Err(error) => error,
    };
    match Engine::detect_precompiled_file(path) {
        Ok(Some(Precompiled::Module)) => {
            // SAFETY: as above.
            unsafe { Module::deserialize_file(engine, path) }.map(Code::Module).map_err(stale)
        }
        _ => Err(stale(error)),
    }
}
