//! The programs of a release, in a folder of its own beneath `/opt/run-wasm` that is never written again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::files;
use crate::model::Release;
use crate::paths::{BINARIES, HOME, INSTALLER, Root, SHIM};
use crate::say;

/// What is left free of the disk, in bytes: the node has to live on.
const SPARE: u64 = 64 << 20;

/// How the name of a folder ends that is being filled.
const DRAFT: &str = ".new";

/// Reads which release the folder `binaries` has. Programs other than the shim may be missing.
pub fn release(binaries: &Path) -> Result<Release> {
    let mut digests = BTreeMap::new();
    for program in BINARIES {
        let path = binaries.join(program);
        if program != SHIM && !path.exists() {
            continue;
        }
        let digest = digest(&path).with_context(|| {
            format!("cannot read {}: --binaries names the folder with the shim", path.display())
        })?;
        digests.insert(program.to_owned(), digest);
    }
    let mut whole = Sha256::new();
    digests.iter().for_each(|(program, digest)| whole.update(format!("{program} {digest}\n")));
    let mark = hex(&whole.finalize());
    let name = format!("{}-{}", env!("CARGO_PKG_VERSION"), mark.get(..12).unwrap_or(&mark));
    Ok(Release { name, digests })
}

/// The installer that lies on the node, if one does: a path of the node's.
pub fn installer(root: &Root) -> Option<PathBuf> {
    let entries = fs::read_dir(root.at(HOME)).ok()?.flatten();
    let releases = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut programs = releases.map(|entry| Path::new(HOME).join(entry.file_name()).join(INSTALLER));
    programs.find(|program| root.at(program).exists())
}

/// Whether the release is whole.
pub fn is_whole(root: &Root, release: &Release) -> bool {
    release.digests.iter().all(|(program, wanted)| {
        digest(&root.at(release.folder().join(program))).is_ok_and(|found| found == *wanted)
    })
}

/// Refuses a disk that has no room for the release, before anything is written.
pub fn refuse_full_disk(root: &Root, binaries: &Path, release: &Release) -> Result<()> {
    if is_whole(root, release) {
        return Ok(());
    }
    let size = |program: &String| fs::metadata(binaries.join(program)).map_or(0, |meta| meta.len());
    let needed = release.digests.keys().map(size).sum::<u64>() + SPARE;
    let home = crate::checks::existing(&root.at(HOME));
    let disk = rustix::fs::statvfs(&home).with_context(|| format!("cannot look at the disk of {HOME}"))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needed {
        bail!(
            "the disk of {HOME} has {} MiB left and {} MiB are needed: make room, nothing has been changed",
            free >> 20,
            needed >> 20
        );
    }
    Ok(())
}

/// Copies the release to its folder. A copy that was cut short is made again.
pub fn stage(root: &Root, binaries: &Path, release: &Release) -> Result<()> {
    if is_whole(root, release) {
        return Ok(());
    }
    let folder = root.at(release.folder());
    let draft = root.at(Path::new(HOME).join(format!("{}{DRAFT}", release.name)));
    remove_folder(&draft)?;
    let copied = copy(binaries, release, &draft).and_then(|()| {
        remove_folder(&folder)?;
        fs::rename(&draft, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
        files::sync_folder(&folder).with_context(|| format!("cannot write {HOME}"))
    });
    copied.inspect_err(|_| drop(fs::remove_dir_all(&draft)))
}

fn copy(binaries: &Path, release: &Release, draft: &Path) -> Result<()> {
    fs::create_dir_all(draft).with_context(|| format!("cannot make {}", draft.display()))?;
    for (program, wanted) in &release.digests {
        let (from, to) = (binaries.join(program), draft.join(program));
        let copied = fs::copy(&from, &to).and_then(|_| {
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
            File::open(&to)?.sync_all()
        });
        copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        if digest(&to).ok().as_ref() != Some(wanted) {
            bail!(
                "{} is not what was copied there: the disk is broken, or {} has changed",
                to.display(),
                from.display()
            );
        }
    }
    File::open(draft)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot write {}", draft.display()))
}

/// Removes copies that were cut short.
pub fn remove_drafts(root: &Root) -> Result<()> {
    let Ok(entries) = fs::read_dir(root.at(HOME)) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().ends_with(DRAFT) {
            remove_folder(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes releases that nobody uses: neither the link nor a process. `keep` is the release in use, if one is.
pub fn collect(root: &Root, keep: Option<&Release>) {
    let Ok(entries) = fs::read_dir(root.at(HOME)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_kept = keep.is_some_and(|release| name == release.name.as_str());
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) || is_kept {
            continue;
        }
        let folder = Path::new(HOME).join(&name);
        if is_in_use(root, &folder) {
            say!("{} stays: processes run from it", folder.display());
        } else if let Err(error) = fs::remove_dir_all(entry.path()) {
            say!("warning: cannot remove {}: {error}", folder.display());
        }
    }
}

/// Whether another process runs a program of the folder, as far as this process sees others. One that is not seen keeps the file
/// that it runs, as all do on Linux; the name goes.
fn is_in_use(root: &Root, folder: &Path) -> bool {
    let Ok(processes) = fs::read_dir(root.at("/proc")) else { return false };
    let this = std::process::id().to_string();
    processes
        .flatten()
        .filter(|process| process.file_name() != this.as_str())
        .any(|process| fs::read_link(process.path().join("exe")).is_ok_and(|exe| exe.starts_with(folder)))
}

/// What tells a file from what it was: device, inode, size, and the time of its last change, which nobody can set back.
type Stamp = (u64, u64, u64, i64, i64);

/// The digests of files that were read, for the agent, which looks at the same ones all its life.
static KNOWN: Mutex<BTreeMap<PathBuf, (Stamp, String)>> = Mutex::new(BTreeMap::new());

fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    let stamp = (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, digest)) = known().get(path).filter(|(then, _)| *then == stamp) {
        return Ok(digest.clone());
    }
    let mut hash = Sha256::new();
    io::copy(&mut file, &mut hash)?;
    let digest = hex(&hash.finalize());
    known().insert(path.to_owned(), (stamp, digest.clone()));
    Ok(digest)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
