//! `mount_setattr(2)`, which no safe library offers yet, and `unshare(2)`, whose safety depends on its flags.
#![allow(unsafe_code, reason = "a raw system call")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::thread::UnshareFlags;

/// Mount attributes to set and to clear, and the propagation to take on (`<linux/mount.h>`, Linux 5.12).
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct MountAttr {
    pub set: u64,
    pub clear: u64,
    pub propagation: u64,
    pub userns_fd: u64,
}

pub const RDONLY: u64 = 0x1;
pub const NOSUID: u64 = 0x2;
pub const NODEV: u64 = 0x4;
pub const NOEXEC: u64 = 0x8;

/// Not shared with, and not fed by, any other mount.
pub const PRIVATE: u64 = libc::MS_PRIVATE;

/// Gives this thread a root, working directory and umask of its own, and where asked a mount namespace.
pub fn unshare_root(and_mounts: bool) -> io::Result<()> {
    let mounts = if and_mounts { UnshareFlags::NEWNS } else { UnshareFlags::empty() };
    // SAFETY: unsharing these takes no descriptor away from other threads, which is what makes others unsafe.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS | mounts) }?)
}

/// Gives this thread a network namespace of its own, with nothing in it.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: as above.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?)
}

/// Changes the mount that `mount` refers to, or all mounts of the tree below it.
pub fn mount_setattr(mount: BorrowedFd<'_>, recursive: bool, attr: &MountAttr) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is empty and static, `attr` is a readable structure of the size that is passed.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
