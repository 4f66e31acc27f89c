//! `path_open` of WASI preview 1.

use wasmtime::{AsContextMut as _, Caller, Extern, Linker, Result};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p1::types::{Errno, Fd, Filetype, Lookupflags};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as preview1, WasiSnapshotPreview1 as _};
use wiggle::{GuestMemory, GuestPtr};

use super::super::state::ModuleState;

/// As the ABI has them: descriptor, lookup flags, the path's address and length, open flags, both rights, descriptor flags,
/// and where the new descriptor goes.
type Parameters = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

/// Replaces it in `linker`, which has the rest of preview 1 already.
pub(in super::super) fn shadow(linker: &mut Linker<ModuleState>) -> Result<()> {
    linker.allow_shadowing(true).func_wrap_async(
        "wasi_snapshot_preview1",
        "path_open",
        |mut caller: Caller<'_, ModuleState>, parameters: Parameters| {
            Box::new(async move { open(&mut caller, parameters).await })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn open(caller: &mut Caller<'_, ModuleState>, parameters: Parameters) -> Result<i32> {
    let (folder, lookup, path, length, open, rights, inheriting, flags, result) = parameters;
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Err(wasmtime::Error::msg("the module exports no memory"));
    };
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (bytes, state) = memory.data_and_store_mut(caller);
    if state.room.is_full(state.wasi.ctx().table) {
        // As what the kernel says to a process that has too many.
        return Ok(Errno::Io as i32);
    }
    let (mut memory, wasi) = (GuestMemory::Unshared(bytes), &mut state.wasi);
    if let Ok(lookup) = Lookupflags::try_from(lookup.cast_unsigned()) {
        let path = GuestPtr::<str>::new((path.cast_unsigned(), length.cast_unsigned()));
        wasi.set_hostcall_fuel(fuel);
        let found = wasi.path_filestat_get(&mut memory, Fd::from(folder.cast_unsigned()), lookup, path).await;
        if found.is_ok_and(|found| is_special(found.filetype)) {
            return Ok(Errno::Acces as i32);
        }
    }
    wasi.set_hostcall_fuel(fuel);
    preview1::path_open(
        wasi,
        &mut memory,
        folder,
        lookup,
        path,
        length,
        open,
        rights,
        inheriting,
        flags,
        result,
    )
    .await
}

/// A symlink that is not to be followed is none of its business: it is never opened.
fn is_special(kind: Filetype) -> bool {
    !matches!(kind, Filetype::RegularFile | Filetype::Directory | Filetype::SymbolicLink)
}
