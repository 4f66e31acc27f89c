//! A container's root file system, from the mounts that containerd's snapshotter describes.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use containerd_shim_protos::api::Mount;
use rustix::fs::CWD;
use rustix::mount::{MountFlags, MountPropagationFlags, OpenTreeFlags, mount, mount_change, open_tree};

use super::syscall::unshare_root;
use super::tree::Tree;

/// Where a mount is put together for a moment, in a mount namespace that only one thread sees.
const STAGE: &str = "/tmp";

/// Whose root file system it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// A guest's, which runs nothing out of it and opens no device.
    Guest,
    /// A native container's, which is all that the snapshotter says.
    Native,
}

/// The detached root file system: the snapshot's one mount, or the bundle's folder when containerd mounted it itself.
pub fn rootfs(mounts: &[Mount], folder: &Path) -> Result<Tree> {
    detached(mounts, folder, Whose::Guest)
}

/// The same for a native container.
pub fn native_rootfs(mounts: &[Mount], folder: &Path) -> Result<Tree> {
    detached(mounts, folder, Whose::Native)
}

fn detached(mounts: &[Mount], folder: &Path, whose: Whose) -> Result<Tree> {
    match mounts {
        [] => Tree::bind(folder, true).context("no root file system"),
        [mount] => one(mount, whose).with_context(|| {
            format!("cannot mount the root file system ({} from {:?})", mount.type_, mount.source)
        }),
        several => bail!(
            "the snapshotter describes {} stacked mounts: use one of overlayfs or native",
            several.len()
        ),
    }
}

fn one(mount: &Mount, whose: Whose) -> Result<Tree> {
    let (fd, recursive) = match mount.type_.as_str() {
        "bind" | "rbind" => (Tree::clone_of(Path::new(&mount.source), true)?, true),
        "overlay" => match overlay(&mount.options, whose) {
            Ok(tree) => (tree.into_fd(), false),
            // Before Linux 6.5 there is no `lowerdir+`, and `lowerdir` takes 255 bytes at most.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => (staged(mount, whose)?, true),
            Err(error) => return Err(error.into()),
        },
        _ => (staged(mount, whose)?, true),
    };
    let tree = match whose {
        Whose::Guest => Tree::guarded(fd, recursive)?,
        Whose::Native => Tree::as_it_is(fd, recursive),
    };
    if mount.options.iter().any(|option| option == "ro") {
        tree.close()?;
    }
    Ok(tree)
}

fn overlay(options: &[String], whose: Whose) -> io::Result<Tree> {
    let options = options.iter().filter(|option| !is_flag(option)).flat_map(|option| {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        let layers: Vec<(&str, &str)> = match key {
            "lowerdir" => value.split(':').map(|layer| ("lowerdir+", layer)).collect(),
            _ => vec![(key, value)],
        };
        layers
    });
    match whose {
        Whose::Guest => Tree::new("overlay", options),
        Whose::Native => Tree::with_all("overlay", options),
    }
}

fn is_flag(option: &str) -> bool {
    matches!(option, "ro" | "rw" | "rbind" | "bind" | "nodev" | "nosuid" | "noexec" | "relatime" | "noatime")
}

/// Mounts the classic way in a thread with a mount namespace of its own, and takes a detached clone out of it.
fn staged(description: &Mount, whose: Whose) -> Result<OwnedFd> {
    let mount = std::thread::scope(|scope| scope.spawn(|| stage(description, whose)).join());
    Ok(mount.map_err(|_| anyhow::anyhow!("the mounting thread panicked"))??)
}

fn stage(description: &Mount, whose: Whose) -> io::Result<OwnedFd> {
    unshare_root(true)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let data: Vec<&str> =
        description.options.iter().map(String::as_str).filter(|option| !is_flag(option)).collect();
    let data = std::ffi::CString::new(data.join(","))?;
    let flags = match whose {
        Whose::Guest => MountFlags::NOSUID | MountFlags::NODEV,
        Whose::Native => MountFlags::empty(),
    };
    mount(&description.source, STAGE, &description.type_, flags, Some(data.as_c_str()))?;
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, STAGE, clone)?)
}
