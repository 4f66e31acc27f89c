//! WASI preview 1 where the grants change what it does: clocks that stand still or are denied, and the strict profile.
//!
//! The functions here read and write guest memory as `wasi_snapshot_preview1.witx` lays it out, and leave the work to
//! Wasmtime's.

mod files;
mod poll;

use grants::{Clock, Grants, Mode, Profile};
use wasmtime::{AsContextMut as _, Caller, Linker, Result};
use wasmtime_wasi::p1::wasi_snapshot_preview1::WasiSnapshotPreview1 as _;

use super::deny;
use super::state::ModuleState;

pub(super) const PREVIEW1: &str = "wasi_snapshot_preview1";

/// `errno` of success.
const SUCCESS: i32 = 0;

/// Replaces in `linker`, which has all of preview 1 already, what the grants change.
pub(super) fn restrict(linker: &mut Linker<ModuleState>, grants: &Grants) -> Result<()> {
    deny::module(linker, grants)?;
    if grants.clock() != Clock::Real || grants.mode() == Mode::Shared {
        poll::restrict(linker, grants)?;
    }
    if grants.profile() == Profile::Strict {
        files::determine(linker)?;
    }
    Ok(())
}

/// The guest's memory and its state.
fn parts<'a>(caller: &'a mut Caller<'_, ModuleState>) -> Result<(&'a mut [u8], &'a mut ModuleState)> {
    let memory = caller.get_export("memory").and_then(|export| export.into_memory());
    let memory = memory.ok_or_else(|| wasmtime::Error::msg("the module exports no memory"))?;
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (memory, state) = memory.data_and_store_mut(caller);
    state.wasi.set_hostcall_fuel(fuel);
    Ok((memory, state))
}

/// `length` bytes of `memory` at `address`, or a trap.
fn slice(memory: &mut [u8], address: i32, length: usize) -> Result<&mut [u8]> {
    let start = usize::try_from(address.cast_unsigned())?;
    let end = start.checked_add(length);
    end.and_then(|end| memory.get_mut(start..end))
        .ok_or_else(|| wasmtime::Error::msg("an address that the module gave lies outside of its memory"))
}

/// Writes `bytes` over those of `record` at `offset`.
fn put(record: &mut [u8], offset: usize, bytes: &[u8]) {
    record.iter_mut().skip(offset).zip(bytes).for_each(|(to, from)| *to = *from);
}

/// The 64 bits of `record` at `offset`.
fn u64_at(record: &[u8], offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(record.iter().skip(offset)).for_each(|(to, from)| *to = *from);
    u64::from_le_bytes(bytes)
}

/// The 32 bits of `record` at `offset`.
fn u32_at(record: &[u8], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.iter_mut().zip(record.iter().skip(offset)).for_each(|(to, from)| *to = *from);
    u32::from_le_bytes(bytes)
}
