//! `descriptor.open-at` of WASI 0.3.

use wasmtime::Result;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p3::bindings::filesystem::types::{
    DescriptorFlags, DescriptorType, ErrorCode, Host as _, HostDescriptorWithStore, OpenFlags, PathFlags,
};

use super::super::state::ComponentState;

type Parameters = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);
type Opened = Result<Resource<Descriptor>, ErrorCode>;
type Files = Accessor<ComponentState, WasiFilesystem>;

/// Replaces it in `linker`, which has the rest of `wasi:filesystem/types` already.
pub(in super::super) fn shadow(linker: &mut Linker<ComponentState>) -> Result<()> {
    linker.allow_shadowing(true).instance("wasi:filesystem/types@0.3.0")?.func_wrap_concurrent(
        "[method]descriptor.open-at",
        |store: &Accessor<ComponentState>, parameters: Parameters| {
            let full = store.with(|mut store| {
                let state = store.get();
                state.room.is_full(state.ctx().table)
            });
            let files = store.with_getter(|state: &mut ComponentState| state.filesystem());
            Box::pin(async move {
                // As what the kernel says to a process that has too many.
                Ok((if full { Err(ErrorCode::Io) } else { open(files, parameters).await? },))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn open(files: Files, (folder, lookup, path, open, flags): Parameters) -> Result<Opened> {
    let look = Resource::new_borrow(folder.rep());
    let found =
        <WasiFilesystem as HostDescriptorWithStore<_>>::stat_at(&files, look, lookup, path.clone()).await;
    if found.is_ok_and(|found| is_special(&found.type_)) {
        return Ok(Err(ErrorCode::Access));
    }
    let opened =
        <WasiFilesystem as HostDescriptorWithStore<_>>::open_at(&files, folder, lookup, path, open, flags);
    match opened.await {
        Ok(opened) => Ok(Ok(opened)),
        Err(error) => files.with(|mut store| store.get().convert_error_code(error)).map(Err),
    }
}

/// A symlink that is not to be followed is none of its business: it is never opened.
fn is_special(kind: &DescriptorType) -> bool {
    !matches!(kind, DescriptorType::RegularFile | DescriptorType::Directory | DescriptorType::SymbolicLink)
}
