//! The strict profile: what a guest sees through WASI follows from its input alone, never from how fast its files and
//! streams are, or where they lie.

mod files;
mod identities;
mod readiness;

use wasmtime::Result;
use wasmtime::component::Linker;

use super::state::ComponentState;

pub(super) use identities::Identities;

/// Replaces in `linker`, which has all of `interface` already, the functions whose answer depends on anything else.
pub(super) fn determine(linker: &mut Linker<ComponentState>, interface: &str) -> Result<()> {
    match interface {
        files::TYPES => files::types(linker),
        readiness::POLL => readiness::poll(linker),
        readiness::STREAMS => readiness::streams(linker),
        _ => Ok(()),
    }
}
