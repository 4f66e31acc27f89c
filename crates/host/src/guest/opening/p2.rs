//! `descriptor.open-at` of WASI 0.2.

use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, Host as _, HostDescriptor as _, OpenFlags, PathFlags,
};

use super::super::state::ComponentState;

type Parameters = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);
type Opened = Result<Resource<Descriptor>, ErrorCode>;

/// Replaces it in `linker`, which has the rest of `wasi:filesystem/types` already.
pub(in super::super) fn shadow(linker: &mut Linker<ComponentState>) -> Result<()> {
    linker.allow_shadowing(true).instance("wasi:filesystem/types@0.2.12")?.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, ComponentState>, parameters: Parameters| {
            Box::new(async move { Ok((open(store.data_mut(), parameters).await?,)) })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn open(state: &mut ComponentState, (folder, lookup, path, open, flags): Parameters) -> Result<Opened> {
    if state.room.is_full(state.ctx().table) {
        // As what the kernel says to a process that has too many.
        return Ok(Err(ErrorCode::Io));
    }
    let mut files = state.filesystem();
    let found = files.stat_at(Resource::new_borrow(folder.rep()), lookup, path.clone()).await;
    if found.is_ok_and(|found| is_special(found.type_)) {
        return Ok(Err(ErrorCode::Access));
    }
    match files.open_at(folder, lookup, path, open, flags).await {
        Ok(opened) => Ok(Ok(opened)),
        Err(error) => files.convert_error_code(error).map(Err),
    }
}

/// A symlink that is not to be followed is none of its business: it is never opened.
fn is_special(kind: DescriptorType) -> bool {
    !matches!(kind, DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink)
}
