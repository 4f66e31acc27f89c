//! Steps on disk, each atomic: what is new is written whole beside its place and renamed, what was there keeps a second name
//! until all is done. A full disk shows before anything has changed, and the way back needs no room.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::model::State;
use crate::paths::{JOURNAL, RECORD};
use crate::plan::DROP_IN;

/// The largest config that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Reads what is at `path`.
///
/// # Errors
/// What is there is neither a file of text nor a link, or is unreadable or huge.
pub fn read(path: &Path) -> Result<State> {
    let shown = path.display();
    let meta = match fs::symlink_metadata(path) {
        Err(error) if is_absent(&error) => return Ok(State::Absent),
        other => other.with_context(|| format!("cannot look at {shown}"))?,
    };
    if meta.is_symlink() {
        return Ok(State::Link(fs::read_link(path).with_context(|| format!("cannot read {shown}"))?));
    }
    if !meta.is_file() {
        bail!("{shown} is no file: move it away");
    }
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    opened.with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > MAX_FILE {
        bail!("{shown} has more than {MAX_FILE} bytes: it is no config");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(State::File(text)),
        // Ours, and made anew whatever it has become.
        Err(error) if path.file_name().is_some_and(|name| name == DROP_IN) => {
            Ok(State::File(String::from_utf8_lossy(error.as_bytes()).into_owned()))
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
            bail!("{shown}, line {line}, is not UTF-8: mend the file, containerd could not read it either")
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Writes the new state beside `path`, durably, and gives the old one a second name. Nothing that anybody reads has changed.
pub fn prepare(path: &Path, after: &State) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(context)?;
    }
    forget(path).with_context(context)?;
    if let Ok(meta) = fs::symlink_metadata(path)
        && meta.is_file()
    {
        fs::hard_link(path, old(path)).with_context(context)?;
    }
    let written = match after {
        State::Absent => {
            // Shows that the folder can be written; renaming away needs no room.
            OpenOptions::new().write(true).create_new(true).open(new(path)).map(drop)
        }
        State::Link(to) => symlink(to, new(path)),
        State::File(text) => write_durably(path, &new(path), text.as_bytes()),
    };
    written.with_context(context)
}

/// Puts the prepared state in its place.
pub fn commit(path: &Path, after: &State) -> Result<()> {
    let context = || format!("cannot replace {}", path.display());
    match after {
        State::Absent => {
            remove(path).with_context(context)?;
            remove(&new(path)).with_context(context)?;
        }
        State::File(_) | State::Link(_) => fs::rename(new(path), path).with_context(context)?,
    }
    sync_folder(path).with_context(context)
}

/// Puts the old state back, from its second name where there is one.
pub fn restore(path: &Path, before: &State) -> Result<()> {
    let context = || format!("cannot restore {}", path.display());
    match before {
        State::Absent => remove(path).with_context(context)?,
        State::File(_) if old(path).exists() => fs::rename(old(path), path).with_context(context)?,
        State::File(_) | State::Link(_) => {
            forget(path).with_context(context)?;
            prepare(path, before)?;
            fs::rename(new(path), path).with_context(context)?;
        }
    }
    forget(path).with_context(context)?;
    sync_folder(path).with_context(context)
}

/// Removes what `prepare` has left beside `path`.
pub fn forget(path: &Path) -> io::Result<()> {
    remove(&new(path))?;
    remove(&old(path))
}

/// Writes a file in one atomic, durable step.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    remove(&new(path)).with_context(context)?;
    let written = write_durably(path, &new(path), bytes).and_then(|()| fs::rename(new(path), path));
    written.inspect_err(|_| drop(remove(&new(path)))).with_context(context)?;
    sync_folder(path).with_context(context)
}

/// Removes what is in a folder, and not the folder, which may be a mount. One that is missing is empty.
pub fn remove_all_in(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if is_absent(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?
        } else {
            fs::remove_file(entry.path())?
        }
    }
    Ok(())
}

/// Removes a file or link; one that is not there is removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Makes the names in the folder of `path` durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().map(File::open) {
        Some(Err(error)) if !is_absent(&error) => Err(error),
        Some(Ok(folder)) => folder.sync_all(),
        _ => Ok(()),
    }
}

/// Writes `at`, which becomes `path`: owner and mode are those of the file that it replaces.
fn write_durably(path: &Path, at: &Path, bytes: &[u8]) -> io::Result<()> {
    let mode = if is_private(path) { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(at)?;
    if let Ok(meta) = fs::metadata(path)
        && !is_private(path)
    {
        file.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777))?;
        // To give a file away is a power of root's: it is used where it must be.
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (meta.uid(), meta.gid()) {
            fchown(&file, Some(meta.uid()), Some(meta.gid()))?;
        }
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whether it holds whole configs of others, which may have secrets.
fn is_private(path: &Path) -> bool {
    [JOURNAL, RECORD].iter().any(|ours| path.ends_with(ours.trim_start_matches('/')))
}

// No pattern of containerd or k0s (`*.toml`) reaches these names.
fn new(path: &Path) -> PathBuf {
    beside(path, ".run-wasm-new")
}

fn old(path: &Path) -> PathBuf {
    beside(path, ".run-wasm-old")
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_whole_configs_is_for_root_alone() {
        let root = tempfile::tempdir().unwrap();
        for name in [JOURNAL, RECORD] {
            let path = root.path().join(name.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            for _ in ["new", "made by an older release"] {
                write(&path, b"{}").unwrap();
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{name}");
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            }
        }
    }

    #[test]
    fn a_file_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "version = 2\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        prepare(&path, &State::File("version = 3\n".into())).unwrap();
        commit(&path, &State::File("version = 3\n".into())).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn only_our_own_drop_in_may_be_broken() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (folder.path().join(DROP_IN), folder.path().join("theirs.toml"));
        fs::write(&ours, b"version = \xff\n").unwrap();
        fs::write(&theirs, b"version = \xff\n").unwrap();
        assert!(matches!(read(&ours), Ok(State::File(_))));
        assert!(format!("{:#}", read(&theirs).unwrap_err()).contains("line 1, is not UTF-8"));
    }
}
