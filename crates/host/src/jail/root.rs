//! An empty root: a tmpfs of a few inodes, read-only, with one directory for the containers' mounts and no `/proc`.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, mkdirat};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{JailError, step};

/// Where the shim attaches the containers' mounts, one directory each.
pub const CONTAINERS: &str = "/c";

/// Where the new root is put together; any directory that every Linux has would do.
const STAGE: &str = "/tmp";

/// Replaces this mount namespace's root. Needs a mount namespace of its own and CAP_SYS_ADMIN.
///
/// `/c` is a mount of its own, so that the shim can make it writable for the moment in which it adds a directory.
pub(super) fn enter(compiler: bool) -> Result<(), JailError> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    step(
        "keep mounts private",
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC),
    )?;
    step(
        "mount an empty root",
        mount("tmpfs", STAGE, "tmpfs", quiet, Some(c"size=64k,nr_inodes=8,mode=755")),
    )?;
    step("enter the empty root", chdir(STAGE))?;
    if !compiler {
        step("make the containers' directory", mkdirat(CWD, "c", Mode::from_raw_mode(0o755)))?;
        step(
            "mount the containers' directory",
            mount("tmpfs", "c", "tmpfs", quiet, Some(c"size=4m,nr_inodes=16k,mode=755")),
        )?;
        step(
            "close the containers' directory",
            mount_remount("c", quiet | MountFlags::RDONLY | MountFlags::BIND, ""),
        )?;
    }
    // The old root is stacked under the new one and detached: no directory for it, no trace of it.
    step("change the root", pivot_root(".", "."))?;
    step("leave the old root", unmount(".", UnmountFlags::DETACH))?;
    step("close the root", mount_remount("/", quiet | MountFlags::RDONLY | MountFlags::BIND, ""))?;
    step("enter the root", chdir("/"))
}

/// Takes the mount namespace of a host of the same container for its own, with all that is mounted there.
pub(super) fn join(mounts: &OwnedFd) -> Result<(), JailError> {
    step(
        "join the container's mount namespace",
        move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount)),
    )?;
    step("enter the root", chdir("/"))
}
