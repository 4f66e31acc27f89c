//! Files as their content: no times, no inodes, no sizes of directories, and listings in the order of their names.

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView, WasiFilesystemView as _};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorStat, DescriptorType, DirectoryEntry, DirectoryEntryStream, ErrorCode, HostDescriptor as _,
    HostDirectoryEntryStream as _, MetadataHashValue, PathFlags,
};

use super::super::state::ComponentState;

pub(super) const TYPES: &str = "wasi:filesystem/types@0.2.12";

const EPOCH: Datetime = Datetime { seconds: 0, nanoseconds: 0 };

type Store<'a> = StoreContextMut<'a, ComponentState>;
type Answer<T> = Result<(Result<T, ErrorCode>,)>;
type Folder = Resource<Descriptor>;
type Listing = Resource<DirectoryEntryStream>;

pub(super) fn types(linker: &mut Linker<ComponentState>) -> Result<()> {
    metadata(linker)?;
    listings(linker)?;
    removals(linker)
}

fn metadata(linker: &mut Linker<ComponentState>) -> Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async("[method]descriptor.stat", |mut store: Store<'_>, (file,): (Folder,)| {
        Box::new(async move { answer(store.data_mut().filesystem().stat(file).await.map(masked)) })
    })?;
    types.func_wrap_async(
        "[method]descriptor.stat-at",
        |mut store: Store<'_>, (folder, flags, path): (Folder, PathFlags, String)| {
            Box::new(async move {
                answer(store.data_mut().filesystem().stat_at(folder, flags, path).await.map(masked))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.metadata-hash",
        |mut store: Store<'_>, (file,): (Folder,)| {
            Box::new(async move {
                let hash = store.data_mut().filesystem().metadata_hash(file).await;
                answer(hash.map(|hash| numbered(store.data_mut(), hash)))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.metadata-hash-at",
        |mut store: Store<'_>, (folder, flags, path): (Folder, PathFlags, String)| {
            Box::new(async move {
                let hash = store.data_mut().filesystem().metadata_hash_at(folder, flags, path).await;
                answer(hash.map(|hash| numbered(store.data_mut(), hash)))
            })
        },
    )
}

/// What the file system decides, and not what is in it, is the same for all files.
fn masked(stat: DescriptorStat) -> DescriptorStat {
    let size = if stat.type_ == DescriptorType::Directory { 0 } else { stat.size };
    DescriptorStat {
        type_: stat.type_,
        link_count: 1,
        size,
        data_access_timestamp: Some(EPOCH),
        data_modification_timestamp: Some(EPOCH),
        status_change_timestamp: Some(EPOCH),
    }
}

fn numbered(state: &mut ComponentState, hash: MetadataHashValue) -> MetadataHashValue {
    let hash = u128::from(hash.lower) | u128::from(hash.upper) << 64;
    MetadataHashValue { lower: state.identities.of(hash), upper: 0 }
}

/// A listing is read when it is opened; its stream in the table is empty from then on, and only names it.
fn listings(linker: &mut Linker<ComponentState>) -> Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: Store<'_>, (folder,): (Folder,)| {
            Box::new(async move {
                let state = store.data_mut();
                let listing = sorted(&mut state.filesystem(), folder).await;
                answer(listing.map(|(stream, entries)| {
                    state.listings.insert(stream.rep(), entries.into_iter());
                    stream
                }))
            })
        },
    )?;
    types.func_wrap(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store: Store<'_>, (stream,): (Listing,)| {
            let entry = store.data_mut().listings.get_mut(&stream.rep()).and_then(Iterator::next);
            answer::<Option<DirectoryEntry>>(Ok(entry))
        },
    )?;
    types.resource(
        "directory-entry-stream",
        ResourceType::host::<DirectoryEntryStream>(),
        |mut store: Store<'_>, rep| {
            let state = store.data_mut();
            state.listings.remove(&rep);
            wasmtime_wasi::p2::bindings::filesystem::types::HostDirectoryEntryStream::drop(
                &mut state.filesystem(),
                Resource::new_own(rep),
            )
        },
    )
}

async fn sorted(
    files: &mut WasiFilesystemCtxView<'_>,
    folder: Folder,
) -> FsResult<(Listing, Vec<DirectoryEntry>)> {
    let stream = files.read_directory(folder).await?;
    let mut entries = Vec::new();
    while let Some(entry) = files.read_directory_entry(Resource::new_borrow(stream.rep())).await? {
        entries.push(entry);
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((stream, entries))
}

fn removals(linker: &mut Linker<ComponentState>) -> Result<()> {
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async(
        "[method]descriptor.unlink-file-at",
        |mut store: Store<'_>, (folder, path): (Folder, String)| {
            Box::new(async move {
                let state = store.data_mut();
                state.identities.forget();
                answer(state.filesystem().unlink_file_at(folder, path).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.remove-directory-at",
        |mut store: Store<'_>, (folder, path): (Folder, String)| {
            Box::new(async move {
                let state = store.data_mut();
                state.identities.forget();
                answer(state.filesystem().remove_directory_at(folder, path).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.rename-at",
        |mut store: Store<'_>, (folder, path, to, new_path): (Folder, String, Folder, String)| {
            Box::new(async move {
                let state = store.data_mut();
                state.identities.forget();
                answer(state.filesystem().rename_at(folder, path, to, new_path).await)
            })
        },
    )
}

fn answer<T>(result: FsResult<T>) -> Answer<T> {
    match result {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}
