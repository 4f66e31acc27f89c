//! Preview 1: calls by descriptor number and path. 3 is the guest's `/`.

const ROOT: u32 = 3;
const FOLLOW: u32 = 1;
const CREATE: u32 = 1;
const DIRECTORY: u32 = 2;
const TRUNCATE: u32 = 8;
const SET_BOTH_TIMES: u32 = 1 | 4;
const RIGHT_READ: u64 = 1 << 1;
const RIGHT_WRITE: u64 = 1 << 6;
const RIGHT_SET_SIZE: u64 = 1 << 22;
const RIGHT_OPEN: u64 = 1 << 13;
/// The most that is read of a file or link.
const MOST: usize = 512;

#[repr(C)]
struct Slice {
    start: *mut u8,
    length: usize,
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    #[allow(clippy::too_many_arguments, reason = "as preview 1 has it")]
    fn path_open(
        fd: u32,
        lookup: u32,
        path: *const u8,
        length: usize,
        open: u32,
        rights: u64,
        inheriting: u64,
        flags: u32,
        opened: *mut u32,
    ) -> u32;
    fn fd_read(fd: u32, slices: *const Slice, count: usize, read: *mut usize) -> u32;
    fn fd_write(fd: u32, slices: *const Slice, count: usize, written: *mut usize) -> u32;
    fn fd_close(fd: u32) -> u32;
    fn fd_filestat_set_size(fd: u32, size: u64) -> u32;
    fn path_filestat_set_times(
        fd: u32,
        lookup: u32,
        path: *const u8,
        length: usize,
        access: u64,
        modification: u64,
        flags: u32,
    ) -> u32;
    fn path_rename(fd: u32, old: *const u8, length: usize, to: u32, new: *const u8, new_length: usize) -> u32;
    fn path_link(
        fd: u32,
        lookup: u32,
        old: *const u8,
        length: usize,
        to: u32,
        new: *const u8,
        new_length: usize,
    ) -> u32;
    fn path_symlink(target: *const u8, length: usize, fd: u32, new: *const u8, new_length: usize) -> u32;
    fn path_readlink(
        fd: u32,
        path: *const u8,
        length: usize,
        buffer: *mut u8,
        size: usize,
        used: *mut usize,
    ) -> u32;
    fn path_create_directory(fd: u32, path: *const u8, length: usize) -> u32;
    fn path_unlink_file(fd: u32, path: *const u8, length: usize) -> u32;
}

fn checked(errno: u32) -> Result<(), String> {
    match errno {
        0 => Ok(()),
        errno => Err(format!("errno {errno}")),
    }
}

/// An open file, closed when it is dropped.
pub struct File(u32);

impl Drop for File {
    fn drop(&mut self) {
        unsafe { fd_close(self.0) };
    }
}

fn open_at(folder: u32, path: &str, lookup: u32, open: u32, rights: u64) -> Result<File, String> {
    let mut opened = 0;
    checked(unsafe {
        path_open(folder, lookup, path.as_ptr(), path.len(), open, rights, rights, 0, &mut opened)
    })?;
    Ok(File(opened))
}

fn content(file: &File) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; MOST];
    let mut length = 0;
    let slice = Slice { start: bytes.as_mut_ptr(), length: bytes.len() };
    checked(unsafe { fd_read(file.0, &slice, 1, &mut length) })?;
    bytes.truncate(length);
    Ok(bytes)
}

pub fn open(path: &str) -> Result<File, String> {
    open_at(ROOT, path, FOLLOW, 0, RIGHT_READ)
}

pub fn read(path: &str, follow: bool) -> Result<Vec<u8>, String> {
    content(&open_at(ROOT, path, u32::from(follow), 0, RIGHT_READ)?)
}

pub fn read_below(folder: &str, path: &str) -> Result<Vec<u8>, String> {
    let folder = open_at(ROOT, folder, FOLLOW, DIRECTORY, RIGHT_READ | RIGHT_OPEN)?;
    content(&open_at(folder.0, path, FOLLOW, 0, RIGHT_READ)?)
}

pub fn write(path: &str, bytes: &[u8]) -> Result<(), String> {
    let file = open_at(ROOT, path, FOLLOW, CREATE, RIGHT_READ | RIGHT_WRITE)?;
    let slice = Slice { start: bytes.as_ptr().cast_mut(), length: bytes.len() };
    checked(unsafe { fd_write(file.0, &slice, 1, &mut 0) })
}

/// Makes a file of that many mebibytes.
pub fn fill(path: &str, mib: usize) -> Result<(), String> {
    let file = open_at(ROOT, path, FOLLOW, CREATE, RIGHT_READ | RIGHT_WRITE)?;
    let bytes = vec![b'x'; 1 << 20];
    for _ in 0..mib {
        let (mut rest, mut written) = (&bytes[..], 0);
        while !rest.is_empty() {
            let slice = Slice { start: rest.as_ptr().cast_mut(), length: rest.len() };
            checked(unsafe { fd_write(file.0, &slice, 1, &mut written) })?;
            rest = &rest[written..];
        }
    }
    Ok(())
}

pub fn cut(path: &str) -> Result<(), String> {
    open_at(ROOT, path, FOLLOW, TRUNCATE, RIGHT_READ).map(drop)
}

pub fn resize(path: &str, size: u64) -> Result<(), String> {
    let file = open_at(ROOT, path, FOLLOW, 0, RIGHT_READ | RIGHT_WRITE | RIGHT_SET_SIZE)?;
    checked(unsafe { fd_filestat_set_size(file.0, size) })
}

pub fn times(path: &str) -> Result<(), String> {
    let (start, length) = (path.as_ptr(), path.len());
    checked(unsafe { path_filestat_set_times(ROOT, FOLLOW, start, length, 0, 0, SET_BOTH_TIMES) })
}

pub fn rename(from: &str, to: &str) -> Result<(), String> {
    checked(unsafe { path_rename(ROOT, from.as_ptr(), from.len(), ROOT, to.as_ptr(), to.len()) })
}

pub fn link(from: &str, to: &str) -> Result<(), String> {
    checked(unsafe { path_link(ROOT, 0, from.as_ptr(), from.len(), ROOT, to.as_ptr(), to.len()) })
}

pub fn symlink(target: &str, path: &str) -> Result<(), String> {
    checked(unsafe { path_symlink(target.as_ptr(), target.len(), ROOT, path.as_ptr(), path.len()) })
}

pub fn readlink(path: &str) -> Result<String, String> {
    let mut bytes = vec![0; MOST];
    let mut length = 0;
    let (start, size) = (bytes.as_mut_ptr(), bytes.len());
    checked(unsafe { path_readlink(ROOT, path.as_ptr(), path.len(), start, size, &mut length) })?;
    bytes.truncate(length);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

pub fn mkdir(path: &str) -> Result<(), String> {
    checked(unsafe { path_create_directory(ROOT, path.as_ptr(), path.len()) })
}

pub fn unlink(path: &str) -> Result<(), String> {
    checked(unsafe { path_unlink_file(ROOT, path.as_ptr(), path.len()) })
}
