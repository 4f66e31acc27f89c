//! Files in the strict profile, as [`super::super::strict`] has them for components.

use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::{WasiP1Ctx, wasi_snapshot_preview1};
use wiggle::GuestMemory;

use super::super::state::ModuleState;
use super::super::strict::Identities;
use super::{PREVIEW1, SUCCESS, parts, put, slice, u32_at, u64_at};

/// Of a `filestat`: its size and what it consists of.
const FILESTAT: usize = 64;
const INODE: usize = 8;
const TYPE: usize = 16;
const LINKS: usize = 24;
const SIZE: usize = 32;
const TIMES: usize = 40;
/// `filetype` of a directory.
const DIRECTORY: u8 = 3;

/// The size of a `dirent`, which the name follows, and where the parts of it are that are not copied.
const DIRENT: usize = 24;
const NEXT: usize = 0;
const ENTRY_INODE: usize = 8;
const NAME_LENGTH: usize = 16;

/// What a listing is first read into; it is doubled until the whole listing fits.
const LISTING: usize = 64 * 1024;

type Guest<'a> = Caller<'a, ModuleState>;

pub(super) fn determine(linker: &mut Linker<ModuleState>) -> Result<()> {
    linker.func_wrap_async(
        PREVIEW1,
        "fd_filestat_get",
        |mut guest: Guest<'_>, (fd, result): (i32, i32)| {
            Box::new(async move {
                let (memory, state) = parts(&mut guest)?;
                let raw = &mut GuestMemory::Unshared(memory);
                let errno = wasi_snapshot_preview1::fd_filestat_get(&mut state.wasi, raw, fd, result).await?;
                if errno == SUCCESS {
                    mask(slice(memory, result, FILESTAT)?, &mut state.identities);
                }
                Ok(errno)
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "path_filestat_get",
        |mut guest: Guest<'_>, (fd, flags, path, length, result): (i32, i32, i32, i32, i32)| {
            Box::new(async move {
                let (memory, state) = parts(&mut guest)?;
                let raw = &mut GuestMemory::Unshared(memory);
                let wasi = &mut state.wasi;
                let errno =
                    wasi_snapshot_preview1::path_filestat_get(wasi, raw, fd, flags, path, length, result)
                        .await?;
                if errno == SUCCESS {
                    mask(slice(memory, result, FILESTAT)?, &mut state.identities);
                }
                Ok(errno)
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "fd_readdir",
        |mut guest: Guest<'_>, (fd, buffer, length, cookie, used): (i32, i32, i32, i64, i32)| {
            Box::new(async move {
                let (memory, state) = parts(&mut guest)?;
                let listing = match listing(&mut state.wasi, fd).await? {
                    Ok(listing) => sorted(&listing, &mut state.identities),
                    Err(errno) => return Ok(errno),
                };
                let buffer = slice(memory, buffer, usize::try_from(length.cast_unsigned())?)?;
                let skipped = usize::try_from(cookie.cast_unsigned()).unwrap_or(usize::MAX);
                let bytes = listing.iter().skip(skipped).flatten();
                let written = buffer.iter_mut().zip(bytes).map(|(to, from)| *to = *from).count();
                slice(memory, used, 4)?.copy_from_slice(&u32::try_from(written)?.to_le_bytes());
                Ok(SUCCESS)
            })
        },
    )?;
    removals(linker)
}

fn mask(stat: &mut [u8], identities: &mut Identities) {
    // The standard streams have none.
    if u64_at(stat, LINKS) == 0 {
        return;
    }
    let identity = identities.of(u64_at(stat, INODE).into());
    put(stat, INODE, &identity.to_le_bytes());
    put(stat, LINKS, &1u64.to_le_bytes());
    put(stat, TIMES, &[0; 24]);
    if stat.get(TYPE) == Some(&DIRECTORY) {
        put(stat, SIZE, &[0; 8]);
    }
}

/// The whole listing of a directory as Wasmtime gives it, or an `errno`.
async fn listing(wasi: &mut WasiP1Ctx, fd: i32) -> Result<Result<Vec<u8>, i32>> {
    let mut room = LISTING;
    loop {
        let mut memory = vec![0; 8 + room];
        let raw = &mut GuestMemory::Unshared(&mut memory);
        let errno = wasi_snapshot_preview1::fd_readdir(wasi, raw, fd, 8, i32::try_from(room)?, 0, 0).await?;
        if errno != SUCCESS {
            return Ok(Err(errno));
        }
        let used = usize::try_from(u32_at(&memory, 0))?;
        if used < room {
            return Ok(Ok(memory.get(8..8 + used).unwrap_or_default().to_vec()));
        }
        room *= 2;
    }
}

/// The entries one by one, as the guest gets them: `.` and `..`, then the others by name.
fn sorted(mut listing: &[u8], identities: &mut Identities) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while listing.len() >= DIRENT {
        let name = usize::try_from(u32_at(listing, NAME_LENGTH)).unwrap_or(usize::MAX);
        let end = DIRENT.saturating_add(name).min(listing.len());
        let (entry, rest) = listing.split_at(end);
        entries.push(entry.to_vec());
        listing = rest;
    }
    let name = |entry: &Vec<u8>| entry.get(DIRENT..).unwrap_or_default().to_vec();
    entries.sort_by_key(|entry| (!matches!(name(entry).as_slice(), b"." | b".."), name(entry)));
    for (entry, next) in entries.iter_mut().zip(1u64..) {
        let identity = identities.of(u64_at(entry, ENTRY_INODE).into());
        put(entry, NEXT, &next.to_le_bytes());
        put(entry, ENTRY_INODE, &identity.to_le_bytes());
    }
    entries
}

fn removals(linker: &mut Linker<ModuleState>) -> Result<()> {
    linker.func_wrap_async(
        PREVIEW1,
        "path_unlink_file",
        |mut guest: Guest<'_>, (fd, path, length): (i32, i32, i32)| {
            Box::new(async move {
                let (memory, state) = parts(&mut guest)?;
                state.identities.forget();
                let raw = &mut GuestMemory::Unshared(memory);
                wasi_snapshot_preview1::path_unlink_file(&mut state.wasi, raw, fd, path, length).await
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "path_remove_directory",
        |mut guest: Guest<'_>, (fd, path, length): (i32, i32, i32)| {
            Box::new(async move {
                let (memory, state) = parts(&mut guest)?;
                state.identities.forget();
                let raw = &mut GuestMemory::Unshared(memory);
                wasi_snapshot_preview1::path_remove_directory(&mut state.wasi, raw, fd, path, length).await
            })
        },
    )?;
    linker.func_wrap_async(
        PREVIEW1,
        "path_rename",
        |mut guest: Guest<'_>, (fd, path, length, to, new, new_length): (i32, i32, i32, i32, i32, i32)| {
            Box::new(async move {
                let (memory, state) = parts(&mut guest)?;
                state.identities.forget();
                let raw = &mut GuestMemory::Unshared(memory);
                let wasi = &mut state.wasi;
                wasi_snapshot_preview1::path_rename(wasi, raw, fd, path, length, to, new, new_length).await
            })
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(inode: u64, name: &str) -> Vec<u8> {
        let mut entry = vec![0; DIRENT];
        put(&mut entry, ENTRY_INODE, &inode.to_le_bytes());
        put(&mut entry, NAME_LENGTH, &u32::try_from(name.len()).unwrap().to_le_bytes());
        entry.extend(name.bytes());
        entry
    }

    #[test]
    fn a_listing_is_in_the_order_of_its_names_and_without_inodes() {
        let listing =
            [entry(900, "."), entry(900, ".."), entry(7, "b"), entry(8, "!"), entry(7, "a")].concat();
        let entries = sorted(&listing, &mut Identities::default());
        let seen: Vec<_> = entries
            .iter()
            .map(|entry| (String::from_utf8(entry[DIRENT..].to_vec()).unwrap(), u64_at(entry, ENTRY_INODE)))
            .collect();
        let expected = [(".", 1), ("..", 1), ("!", 2), ("a", 3), ("b", 3)];
        assert_eq!(seen, expected.map(|(name, inode)| (name.to_owned(), inode)));
        assert_eq!(entries.iter().map(|entry| u64_at(entry, NEXT)).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }
}
