//! The file of a core dump: within the guest's root, and a regular file or none.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, ftruncate, openat, openat2};

/// Makes the file `path` below `root`, or empties it. This process has the guest's user, so the kernel asks what it
/// would ask the guest. No link leads out of the root, and none is followed in the file's own place.
pub(super) fn open(root: &Path, path: &str) -> io::Result<File> {
    let root = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // A FIFO without a reader, or a device, must not hold this thread.
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = openat2(&root, path, flags, Mode::from_raw_mode(0o600), inside)?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file"));
    }
    ftruncate(&file, 0)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_made_for_its_owner_alone_and_emptied_the_next_time() {
        let root = tempfile::tempdir().unwrap();
        drop(open(root.path(), "/core").unwrap());
        let file = root.path().join("core");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "of the trap before").unwrap();
        drop(open(root.path(), "/core").unwrap());
        assert_eq!(fs::read(&file).unwrap(), b"");
    }

    #[test]
    fn no_link_leads_out_and_none_is_followed_in_the_files_place() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("core"), "of another").unwrap();
        symlink(outside.path(), root.path().join("out")).unwrap();
        symlink("../../../../../../../..", root.path().join("up")).unwrap();
        symlink(outside.path().join("core"), root.path().join("link")).unwrap();
        let up = format!("/up{}/core", outside.path().display());
        for path in ["/out/core", "/link", "/../core/x", &up] {
            assert!(open(root.path(), path).is_err(), "{path}");
        }
        assert_eq!(fs::read(outside.path().join("core")).unwrap(), b"of another");
    }

    #[test]
    fn what_is_no_regular_file_is_left_alone_and_holds_nobody_up() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("folder")).unwrap();
        rustix::fs::mknodat(CWD, root.path().join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        for path in ["/folder", "/fifo", "/none/core"] {
            assert!(open(root.path(), path).is_err(), "{path}");
        }
    }
}
