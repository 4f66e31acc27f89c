//! Files that are whole or absent: written beside their place, flushed to the disk, then given their name.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::{Builder, NamedTempFile};

/// How the names of drafts begin.
pub const DRAFT: &str = ".draft-";

/// What a file of no secrets may have; the user's umask takes of it.
const PUBLIC: u32 = 0o666;

/// Writes a file whole, or not at all. What is no regular file (a pipe, a device) is written into. Where there is a link, what it
/// leads to is replaced. Who might use a file that was there may use the new one.
///
/// # Errors
/// A sentence with the path. What was there is there still.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes)).with_context(|| format!("cannot write {}", path.display()))
}

/// The same, with what `fill` writes.
///
/// # Errors
/// Those of the file system, and those of `fill`.
pub fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let Ok(meta) = path.metadata() else {
        // A link may lead to what is not there yet.
        let target = path.read_link().map(|target| folder_of(path).join(target));
        let path = target.as_deref().unwrap_or(path);
        return finish(path, draft(path, PUBLIC)?, fill);
    };
    // /dev/stdout is a link, to a file that may have lost its name.
    let Some(real) = path.canonicalize().ok().filter(|real| real.is_file()) else {
        return fill(&mut fs::OpenOptions::new().write(true).truncate(true).open(path)?);
    };
    let draft = draft(&real, PUBLIC)?;
    // Only root can give it to somebody else, and others replace what is theirs.
    drop(fchown(draft.as_file(), Some(meta.uid()), Some(meta.gid())));
    draft.as_file().set_permissions(Permissions::from_mode(meta.mode() & 0o777))?;
    finish(&real, draft, fill)
}

fn finish(
    path: &Path,
    mut draft: NamedTempFile,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    fill(draft.as_file_mut())?;
    draft.as_file().sync_all()?;
    draft.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Writes a file that was not there, whole or not at all. `mode`: who may read it, from its first byte on.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], and those of the file system.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut draft = draft(path, mode)?;
    draft.write_all(bytes)?;
    draft.as_file().set_permissions(Permissions::from_mode(mode))?;
    draft.as_file().sync_all()?;
    draft.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

/// Writes a folder of files whole, or not at all. One that is there is replaced.
///
/// # Errors
/// Those of the file system. What was there is there still.
pub fn replace_folder<'a>(
    path: &Path,
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> io::Result<()> {
    let real = path.canonicalize();
    let path = real.as_deref().unwrap_or(path);
    // A folder in the draft, because that itself is for its owner alone.
    let draft = Builder::new().prefix(DRAFT).tempdir_in(folder_of(path))?;
    let (new, old) = (draft.path().join("new"), draft.path().join("old"));
    fs::create_dir(&new)?;
    for (name, bytes) in files {
        let file = new.join(name);
        fs::create_dir_all(folder_of(&file))?;
        let mut file = File::create_new(file)?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    if path.exists() {
        fs::rename(path, &old)?;
    }
    fs::rename(&new, path).inspect_err(|_| drop(fs::rename(&old, path)))
}

fn draft(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    Builder::new().prefix(DRAFT).permissions(Permissions::from_mode(mode)).tempfile_in(folder_of(path))
}

fn folder_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new(".")).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that holds two files and no draft.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a"), b"before").unwrap();
        replace_folder(&folder.path().join("f"), [("x/y", &b"1"[..]), ("z", b"2")]).unwrap();
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_fails_half_way_leaves_what_was_there() {
        let folder = folder();
        let path = folder.path().join("a");
        let error = replace(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(error.unwrap_err().to_string(), "the disk is full");
        assert_eq!(fs::read(&path).unwrap(), b"before");
        // The second is a folder in the place of a file.
        let files = [("x/y", &b"1"[..]), ("x", b"2")];
        assert!(replace_folder(&folder.path().join("f"), files).is_err());
        assert_eq!(fs::read(folder.path().join("f/x/y")).unwrap(), b"1");
        assert_eq!(names(folder.path()), ["a", "f"]);
    }

    #[test]
    fn a_folder_is_replaced_with_all_that_it_had() {
        let folder = folder();
        replace_folder(&folder.path().join("f"), [("new", &b"3"[..])]).unwrap();
        assert_eq!(names(&folder.path().join("f")), ["new"]);
        assert_eq!(names(folder.path()), ["a", "f"]);
    }

    #[test]
    fn a_link_to_what_is_not_there_yet_stays() {
        let folder = folder();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("new", &link).unwrap();
        write(&link, b"bytes").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(folder.path().join("new")).unwrap(), b"bytes");
    }

    #[test]
    fn only_what_was_not_there_is_created() {
        let folder = folder();
        let (there, new) = (folder.path().join("a"), folder.path().join("b"));
        assert_eq!(create(&there, b"x", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        create(&new, b"x", 0o600).unwrap();
        assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(folder.path()), ["a", "b", "f"]);
    }

    #[test]
    fn a_link_stays_and_so_does_who_may_read() {
        let folder = folder();
        let (file, link) = (folder.path().join("a"), folder.path().join("link"));
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("a", &link).unwrap();
        write(&link, b"after").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"after");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        let linked = folder.path().join("folder");
        std::os::unix::fs::symlink("f", &linked).unwrap();
        replace_folder(&linked, [("new", &b"3"[..])]).unwrap();
        assert!(linked.is_symlink() && folder.path().join("f/new").is_file());
        assert_eq!(names(folder.path()), ["a", "f", "folder", "link"]);
    }

    #[test]
    fn a_file_without_a_name_is_written_into() {
        let folder = folder();
        let path = folder.path().join("a");
        let mut file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let open = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        write(Path::new(&open), b"after").unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!((text.as_str(), path.exists()), ("after", false));
    }

    #[test]
    fn what_is_no_file_is_written_into() {
        write(Path::new("/dev/null"), b"x").unwrap();
        assert!(!Path::new("/dev/null").is_file());
        assert!(write(&folder().path().join("f"), b"x").is_err());
    }
}
