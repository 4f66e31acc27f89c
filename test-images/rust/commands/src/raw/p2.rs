//! WASI 0.2: methods of descriptors. The one preopen is the guest's `/`.

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags};

/// The most that is read of a file.
const MOST: u64 = 512;

pub type File = Descriptor;

fn root() -> Result<Descriptor, String> {
    get_directories().into_iter().next().map(|(root, _)| root).ok_or_else(|| "no preopen".to_owned())
}

fn name(error: ErrorCode) -> String {
    error.name().to_owned()
}

fn open_at(
    folder: &Descriptor,
    path: &str,
    follow: bool,
    open: OpenFlags,
    flags: DescriptorFlags,
) -> Result<Descriptor, String> {
    let lookup = if follow { PathFlags::SYMLINK_FOLLOW } else { PathFlags::empty() };
    folder.open_at(lookup, path, open, flags).map_err(name)
}

fn content(file: &Descriptor) -> Result<Vec<u8>, String> {
    file.read(MOST, 0).map(|(bytes, _)| bytes).map_err(name)
}

pub fn open(path: &str) -> Result<File, String> {
    open_at(&root()?, path, true, OpenFlags::empty(), DescriptorFlags::READ)
}

pub fn read(path: &str, follow: bool) -> Result<Vec<u8>, String> {
    content(&open_at(&root()?, path, follow, OpenFlags::empty(), DescriptorFlags::READ)?)
}

pub fn read_below(folder: &str, path: &str) -> Result<Vec<u8>, String> {
    let folder = open_at(&root()?, folder, true, OpenFlags::DIRECTORY, DescriptorFlags::READ)?;
    content(&open_at(&folder, path, true, OpenFlags::empty(), DescriptorFlags::READ)?)
}

pub fn write(path: &str, bytes: &[u8]) -> Result<(), String> {
    let file =
        open_at(&root()?, path, true, OpenFlags::CREATE, DescriptorFlags::READ | DescriptorFlags::WRITE)?;
    file.write(bytes, 0).map(drop).map_err(name)
}

/// Makes a file of that many mebibytes.
pub fn fill(path: &str, mib: usize) -> Result<(), String> {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let file = open_at(&root()?, path, true, OpenFlags::CREATE, flags)?;
    let (bytes, mut at) = (vec![b'x'; 1 << 20], 0);
    while at < (mib as u64) << 20 {
        at += file.write(&bytes, at).map_err(name)?;
    }
    Ok(())
}

pub fn cut(path: &str) -> Result<(), String> {
    open_at(&root()?, path, true, OpenFlags::TRUNCATE, DescriptorFlags::READ).map(drop)
}

pub fn resize(path: &str, size: u64) -> Result<(), String> {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    open_at(&root()?, path, true, OpenFlags::empty(), flags)?.set_size(size).map_err(name)
}

pub fn times(path: &str) -> Result<(), String> {
    let epoch = || NewTimestamp::Timestamp(wasip2::clocks::wall_clock::Datetime { seconds: 0, nanoseconds: 0 });
    root()?.set_times_at(PathFlags::SYMLINK_FOLLOW, path, epoch(), epoch()).map_err(name)
}

pub fn rename(from: &str, to: &str) -> Result<(), String> {
    root()?.rename_at(from, &root()?, to).map_err(name)
}

pub fn link(from: &str, to: &str) -> Result<(), String> {
    root()?.link_at(PathFlags::empty(), from, &root()?, to).map_err(name)
}

pub fn symlink(target: &str, path: &str) -> Result<(), String> {
    root()?.symlink_at(target, path).map_err(name)
}

pub fn readlink(path: &str) -> Result<String, String> {
    root()?.readlink_at(path).map_err(name)
}

pub fn mkdir(path: &str) -> Result<(), String> {
    root()?.create_directory_at(path).map_err(name)
}

pub fn unlink(path: &str) -> Result<(), String> {
    root()?.unlink_file_at(path).map_err(name)
}
