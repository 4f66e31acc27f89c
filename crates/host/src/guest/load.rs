//! Compiled code, mapped from its file so that all containers of a node share one copy.
#![allow(unsafe_code, reason = "code from a file is run as it is; who may write the file decides")]

use std::path::Path;

use grants::Profile;
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Precompiled};

use super::PrepareError;
use crate::engine::{Engines, Flavour};

pub(super) enum Code {
    Component(Component),
    Module(Module),
}

/// Maps the code at `path`. What does not fit any of this profile's engines, or is no code at all, is [`PrepareError::Stale`].
pub(super) fn load(engines: &Engines, profile: Profile, path: &Path) -> Result<Code, PrepareError> {
    std::fs::File::open(path).map_err(PrepareError::Code)?;
    let plain = engine(engines, Flavour::plain(profile))?;
    // Most code is a plain component, and to ask first would mean to read the file twice.
    let error = match component(&plain, path) {
        Ok(component) => return Ok(component),
        Err(error) => error,
    };
    match Engine::detect_precompiled_file(path) {
        Ok(Some(Precompiled::Module)) => module(&plain, path),
        Ok(Some(Precompiled::Component)) => component(&engine(engines, Flavour::concurrent(profile))?, path),
        _ => Err(error),
    }
    .map_err(|error| PrepareError::Stale(format!("{error:#}")))
}

fn engine(engines: &Engines, flavour: Flavour) -> Result<Engine, PrepareError> {
    engines.get(flavour).map_err(|error| PrepareError::Engine(format!("{error:#}")))
}

fn component(engine: &Engine, path: &Path) -> wasmtime::Result<Code> {
    // SAFETY: the file was written by this program's compiler and is writable for root alone; Wasmtime checks that
    // version and configuration are this engine's.
    unsafe { Component::deserialize_file(engine, path) }.map(Code::Component)
}

fn module(engine: &Engine, path: &Path) -> wasmtime::Result<Code> {
    // SAFETY: as above.
    unsafe { Module::deserialize_file(engine, path) }.map(Code::Module)
}
