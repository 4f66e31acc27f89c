//! A root file system in the node's mount table, for a runtime that has to find it by its path.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};

use super::tree::Tree;

/// Attaches a tree at a folder of the node.
pub fn show(tree: &Tree, place: &Path) -> io::Result<()> {
    Ok(move_mount(tree.as_fd(), "", CWD, place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Takes away all that is mounted there. Nothing is no error.
pub fn hide(place: &Path) -> io::Result<()> {
    loop {
        match unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            // No mount point, or not even a folder.
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
