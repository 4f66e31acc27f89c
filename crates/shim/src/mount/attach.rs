//! Attaches a container's mounts in its host's mount namespace, while the host runs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use host::protocol::container_dir;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::{OwnedMutexGuard, oneshot};

use super::in_root::mount_point;
use super::syscall::{MountAttr, RDONLY, mount_setattr, unshare_root};
use super::tree::Tree;

/// What stands at a place.
#[derive(Debug)]
pub enum Content {
    Folder(Tree),
    File(Tree),
}

/// A volume at its place in the guest's root.
#[derive(Debug)]
pub struct Attachment {
    pub destination: PathBuf,
    pub content: Content,
}

/// Puts a container together under [`container_dir`]: `code` (empty where it is elsewhere), `root` (empty where there is no
/// root file system), and the volumes in it, in order; then makes the root read-only when asked.
pub async fn attach(
    namespace: OwnedFd,
    id: String,
    code: Option<Tree>,
    root: Option<Tree>,
    read_only: bool,
    volumes: Vec<Attachment>,
) -> Result<()> {
    within(namespace, move || Place::make(&id)?.fill(code, root, read_only, &volumes)).await
}

/// Attaches code under `name`, and nothing else. Done whole or not at all, also where nobody waits for it any more: until then nobody
/// else has the `turn` to mount there, and what it guards is told when the code is in place.
pub async fn attach_code<T: Send + 'static>(
    namespace: OwnedFd,
    name: String,
    code: Tree,
    mut turn: OwnedMutexGuard<T>,
    tell: impl FnOnce(&mut T) + Send + 'static,
) -> Result<()> {
    let attaching = tokio::spawn(async move {
        let filled = within(namespace, move || {
            let filled = Place::make(&name)?.fill(Some(code), None, true, &[]);
            // Its place would be taken when the same code comes again.
            filled.inspect_err(|_| drop(take_away(&name)))
        });
        filled.await?;
        tell(&mut turn);
        Ok(())
    });
    attaching.await.context("code could not be attached")?
}

/// Takes away what [`attach`] put together, from a host that goes on.
pub async fn detach(namespace: OwnedFd, id: String) -> Result<()> {
    within(namespace, move || take_away(&id)).await
}

/// The same, in the host's mount namespace.
fn take_away(id: &str) -> Result<()> {
    let folder = container_dir(id);
    // With the root goes all that is mounted in it. What is not mounted is no mount point: INVAL.
    for name in ["root", "code"] {
        match unmount(folder.join(name), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(Errno::NOENT | Errno::INVAL) => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot unmount the container's {name}"));
            }
        }
    }
    let containers = open_containers(&folder)?;
    // Never what is below: should anything still be mounted there, it is not the host's to remove.
    let removed = std::fs::remove_dir(folder.join("root"))
        .and_then(|()| std::fs::remove_file(folder.join("code")))
        .and_then(|()| std::fs::remove_dir(&folder));
    close_containers(&containers)?;
    removed.context("cannot remove the container's place")
}

/// Does something in the host's mount namespace, on a thread that is thrown away: it has left this process' own for good. It may
/// take as long as a file system in there does not answer; given up, it is done all the same.
async fn within(namespace: OwnedFd, act: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    aside(move || {
        unshare_root(false).context("cannot leave the shim's root")?;
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))
            .context("cannot enter the host's mount namespace")?;
        act()
    })
    .await
}

/// Does something on a thread of its own that may have to wait for a file system whose server is away: nobody else does.
pub async fn aside<T: Send + 'static>(act: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("mount".into()).spawn(move || drop(tell.send(act())));
    thread.context("cannot start a thread")?;
    told.await.context("the mounting thread panicked")?
}

/// The folder of all containers, writable until it is closed.
fn open_containers(folder: &Path) -> Result<OwnedFd> {
    let parent = folder.parent().unwrap_or(Path::new("/"));
    let containers = open_path(CWD, parent).context("the host has no place for containers")?;
    let writable = MountAttr { clear: RDONLY, ..MountAttr::default() };
    mount_setattr(containers.as_fd(), false, &writable).context("cannot open the place for containers")?;
    Ok(containers)
}

fn close_containers(containers: &OwnedFd) -> Result<()> {
    let attr = MountAttr { set: RDONLY, ..MountAttr::default() };
    mount_setattr(containers.as_fd(), false, &attr).context("cannot close the place for containers")
}

/// A container's folder in the host's namespace, writable while this lives.
struct Place {
    containers: OwnedFd,
    folder: OwnedFd,
}

impl Place {
    fn make(id: &str) -> Result<Place> {
        let folder = container_dir(id);
        let containers = open_containers(&folder)?;
        let make = || -> io::Result<OwnedFd> {
            mkdirat(&containers, id, Mode::from_raw_mode(0o755))?;
            let folder = open_path(containers.as_fd(), Path::new(id))?;
            mkdirat(&folder, "root", Mode::from_raw_mode(0o755))?;
            openat(
                &folder,
                "code",
                OFlags::CREATE | OFlags::CLOEXEC | OFlags::WRONLY,
                Mode::from_raw_mode(0o444),
            )?;
            Ok(folder)
        };
        match make() {
            Ok(folder) => Ok(Place { containers, folder }),
            Err(error) => {
                close_containers(&containers)?;
                Err(error).with_context(|| format!("cannot make a place for the container {id}"))
            }
        }
    }

    /// Puts everything in its place, and closes it whatever becomes of that.
    fn fill(
        self,
        code: Option<Tree>,
        root: Option<Tree>,
        read_only: bool,
        volumes: &[Attachment],
    ) -> Result<()> {
        let filled = self.put_all(code, root, read_only, volumes);
        close_containers(&self.containers)?;
        filled
    }

    fn put_all(
        &self,
        code: Option<Tree>,
        root: Option<Tree>,
        read_only: bool,
        volumes: &[Attachment],
    ) -> Result<()> {
        if let Some(code) = &code {
            self.put("code", code)?;
        }
        if let Some(root) = &root {
            self.put("root", root)?;
        }
        let guest = self.open("root")?;
        let result = volumes.iter().try_for_each(|volume| put_volume(guest.as_fd(), volume));
        if let Some(root) = root.filter(|_| read_only) {
            // Only the root's own mount: each volume has its own say.
            let attr = MountAttr { set: RDONLY, ..MountAttr::default() };
            mount_setattr(root.as_fd(), false, &attr).context("cannot make the root read-only")?;
        }
        result
    }

    fn open(&self, name: &str) -> Result<OwnedFd> {
        open_path(self.folder.as_fd(), Path::new(name))
            .with_context(|| format!("no {name} in the container's place"))
    }

    fn put(&self, name: &str, tree: &Tree) -> Result<()> {
        let target = self.open(name)?;
        put(tree, target.as_fd()).with_context(|| format!("cannot attach the container's {name}"))
    }
}

fn open_path(at: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(at, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

fn put_volume(guest: BorrowedFd<'_>, volume: &Attachment) -> Result<()> {
    let place = volume.destination.display();
    let (tree, folder) = match &volume.content {
        Content::Folder(tree) => (tree, true),
        Content::File(tree) => (tree, false),
    };
    let target = mount_point(guest, &volume.destination, folder)
        .with_context(|| format!("there is no place for the volume at {place} and none can be made"))?;
    put(tree, target.as_fd()).with_context(|| format!("cannot attach the volume at {place}"))
}

fn put(tree: &Tree, target: BorrowedFd<'_>) -> io::Result<()> {
    let both_empty = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree.as_fd(), "", target, "", both_empty)?)
}
