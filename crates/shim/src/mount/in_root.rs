//! Paths inside a root that an image controls: never followed out of it, never through magic links.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use anyhow::{Context, Result, bail};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2};

fn inside() -> ResolveFlags {
    ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS
}

fn relative(path: &Path) -> impl Iterator<Item = &std::ffi::OsStr> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

/// Opens a regular file for reading. A FIFO does not block it, a device or folder is refused, and so is a file of
/// more than `limit` bytes.
pub fn open_file(root: BorrowedFd<'_>, path: &Path, limit: u64) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat2(root, path, flags, Mode::empty(), inside())
        .with_context(|| format!("cannot open {} in the root file system", path.display()))?;
    let stat = rustix::fs::fstat(&file)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    if kind != FileType::RegularFile {
        bail!("{} in the root file system is no regular file ({kind:?})", path.display());
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > limit {
        bail!(
            "{} in the root file system has {size} bytes, more than the {limit} that a Wasm file may have",
            path.display()
        );
    }
    Ok(file.into())
}

/// Opens the place for a mount, and makes it (and the folders above it) where there is none: a folder for a folder,
/// an empty file for a file.
pub fn mount_point(root: BorrowedFd<'_>, path: &Path, folder: bool) -> io::Result<OwnedFd> {
    let here = OFlags::PATH | OFlags::CLOEXEC;
    if let Ok(found) = openat2(root, path, here, Mode::empty(), inside()) {
        return Ok(found);
    }
    let names: Vec<_> = relative(path).collect();
    let Some((last, above)) = names.split_last() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the root itself"));
    };
    let mut walked = std::path::PathBuf::from(".");
    let mut parent = openat2(root, &walked, here | OFlags::DIRECTORY, Mode::empty(), inside())?;
    for name in above {
        walked.push(name);
        parent = match openat2(root, &walked, here | OFlags::DIRECTORY, Mode::empty(), inside()) {
            Err(rustix::io::Errno::NOENT) => {
                mkdirat(&parent, *name, Mode::from_raw_mode(0o755))?;
                openat2(root, &walked, here | OFlags::DIRECTORY, Mode::empty(), inside())?
            }
            found => found?,
        };
    }
    if folder {
        mkdirat(&parent, *last, Mode::from_raw_mode(0o755))?;
    } else {
        let make = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        openat2(&parent, *last, make, Mode::from_raw_mode(0o644), ResolveFlags::BENEATH)?;
    }
    Ok(openat2(parent.as_fd(), *last, here | OFlags::NOFOLLOW, Mode::empty(), ResolveFlags::BENEATH)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        let root = File::open(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn a_link_out_of_the_root_stays_inside() {
        let (folder, root) = root();
        symlink("/etc/passwd", folder.path().join("app.wasm")).unwrap();
        symlink("../../../../etc/passwd", folder.path().join("up.wasm")).unwrap();
        for name in ["/app.wasm", "up.wasm", "../../etc/passwd"] {
            let error = open_file(root.as_fd(), Path::new(name), 100).unwrap_err();
            assert!(error.to_string().contains("cannot open"), "{error:#}");
        }
    }

    #[test]
    fn only_regular_files_of_a_decent_size_are_opened() {
        let (folder, root) = root();
        rustix::fs::mkfifoat(&root, "fifo", Mode::from_raw_mode(0o600)).unwrap();
        std::fs::create_dir(folder.path().join("dir")).unwrap();
        File::create(folder.path().join("huge")).unwrap().set_len(1 << 40).unwrap();
        for (name, word) in [("fifo", "Fifo"), ("dir", "Directory"), ("huge", "1099511627776")] {
            let error = open_file(root.as_fd(), Path::new(name), 1 << 20).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn mount_points_are_made_inside_even_through_links() {
        let (folder, root) = root();
        symlink("/elsewhere", folder.path().join("link")).unwrap();
        std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
        mount_point(root.as_fd(), Path::new("/link/a/b"), true).unwrap();
        assert!(folder.path().join("elsewhere/a/b").is_dir());
        mount_point(root.as_fd(), Path::new("/etc/app.conf"), false).unwrap();
        assert!(folder.path().join("etc/app.conf").is_file());
        mount_point(root.as_fd(), Path::new("/etc/app.conf"), false).unwrap();
    }
}
