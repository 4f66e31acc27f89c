//! Detached mounts: clones of what the node has, and new file systems.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use grants::Tmpfs;
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen, open_tree,
};

use super::syscall::{MountAttr, NODEV, NOEXEC, NOSUID, PRIVATE, RDONLY, mount_setattr};

/// A mount that is attached nowhere. Closing it undoes it.
#[derive(Debug)]
pub struct Tree {
    mount: OwnedFd,
    recursive: bool,
}

impl Tree {
    /// Clones the mount at a path of the node, with the mounts below it when `recursive`.
    pub fn bind(path: &Path, recursive: bool) -> Result<Tree> {
        Tree::guarded(Tree::clone_of(path, recursive)?, recursive)
    }

    pub(super) fn clone_of(path: &Path, recursive: bool) -> Result<OwnedFd> {
        let below = if recursive { OpenTreeFlags::AT_RECURSIVE } else { OpenTreeFlags::empty() };
        open_tree(CWD, path, OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | below)
            .with_context(|| format!("cannot open the volume {}", path.display()))
    }

    /// Clones the file that a descriptor refers to as a read-only mount of its own. It may be mapped as code, whatever
    /// its file system is mounted like: this is how a host gets what the compiler made.
    pub fn code(file: BorrowedFd<'_>) -> Result<Tree> {
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let mount = open_tree(file, "", flags).context("cannot mount the compiled component")?;
        let attr =
            MountAttr { set: RDONLY | NOSUID | NODEV, clear: NOEXEC, propagation: PRIVATE, userns_fd: 0 };
        mount_setattr(mount.as_fd(), false, &attr).context("cannot protect the compiled component")?;
        Ok(Tree { mount, recursive: false })
    }

    /// A new file system of a type, with its options: for guests.
    pub fn new<'a>(kind: &str, options: impl Iterator<Item = (&'a str, &'a str)>) -> io::Result<Tree> {
        Tree::made(kind, options, MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV)
    }

    /// The same for native containers, which may have programs that change their user.
    pub(super) fn with_all<'a>(
        kind: &str,
        options: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> io::Result<Tree> {
        Tree::made(kind, options, MountAttrFlags::empty())
    }

    fn made<'a>(
        kind: &str,
        options: impl Iterator<Item = (&'a str, &'a str)>,
        attributes: MountAttrFlags,
    ) -> io::Result<Tree> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in options {
            if value.is_empty() {
                rustix::mount::fsconfig_set_flag(&context, key)?;
            } else {
                fsconfig_set_string(&context, key, value)?;
            }
        }
        fsconfig_create(&context)?;
        Ok(Tree { mount: fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?, recursive: false })
    }

    /// A new file system in memory.
    pub fn tmpfs(tmpfs: &Tmpfs) -> io::Result<Tree> {
        let options = [
            ("size", tmpfs.size.map(|bytes| bytes.to_string())),
            ("nr_inodes", tmpfs.inodes.map(|count| count.to_string())),
            ("mode", tmpfs.mode.map(|mode| format!("{mode:o}"))),
            ("uid", tmpfs.uid.map(|uid| uid.to_string())),
            ("gid", tmpfs.gid.map(|gid| gid.to_string())),
        ];
        Tree::new("tmpfs", options.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))))
    }

    /// A root that has room for places to mount at, and for nothing else.
    pub fn empty() -> io::Result<Tree> {
        let options = [("size", "64k"), ("nr_inodes", "16k"), ("mode", "755")];
        Tree::new("tmpfs", options.into_iter())
    }

    /// Takes over a detached mount, and takes from it what no guest needs.
    pub(super) fn guarded(mount: OwnedFd, recursive: bool) -> Result<Tree> {
        let attr = MountAttr { set: NOSUID | NODEV | NOEXEC, propagation: PRIVATE, ..MountAttr::default() };
        mount_setattr(mount.as_fd(), recursive, &attr).context("cannot protect a mount")?;
        Ok(Tree { mount, recursive })
    }

    /// Takes over a detached mount without a change.
    pub(super) fn as_it_is(mount: OwnedFd, recursive: bool) -> Tree {
        Tree { mount, recursive }
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.mount
    }

    /// Makes it, and what is mounted below it, read-only.
    pub fn close(&self) -> Result<()> {
        let attr = MountAttr { set: RDONLY, ..MountAttr::default() };
        mount_setattr(self.mount.as_fd(), self.recursive, &attr).context("cannot make a mount read-only")
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.mount.as_fd()
    }
}
