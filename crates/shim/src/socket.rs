//! The sockets of shims and managers: what they are called, who may bind one, and that none stays behind.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::manager;
use crate::observe::scrape;

/// Where they are unless containerd says otherwise. Short, because a socket's path may have 107 bytes.
pub const FOLDER: &str = "/run/containerd/s";

/// What tells ours from those of other runtimes' shims, which are in the same folder.
const OURS: &str = ".run-wasm";

/// Every Unix socket of this network namespace, a line each, its path as the eighth word: proc(5).
const ALL: &str = "/proc/net/unix";

/// The name of the socket for a group of tasks, in whatever words tell it from all others: a hash of them, as containerd's own
/// shims name theirs.
pub fn name(group: &str) -> String {
    let hash = Sha256::digest(group);
    hash.iter().map(|byte| format!("{byte:02x}")).chain([OURS.to_owned()]).collect()
}

/// One process at a time looks for a shim, makes one, or ends: a socket that is bound and does not listen yet looks like one
/// that nobody serves.
pub fn lock(folder: &Path) -> io::Result<fs::File> {
    let folder = fs::File::open(folder)?;
    flock(&folder, FlockOperation::LockExclusive)?;
    Ok(folder)
}

/// Binds the socket; `None` when a shim serves it. A socket that nobody serves is what a killed shim left behind. The
/// folder must be locked.
pub fn listen(socket: &Path) -> Result<Option<UnixListener>> {
    for _ in 0..2 {
        match UnixListener::bind(socket) {
            Ok(listener) => return Ok(Some(listener)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => match UnixStream::connect(socket) {
                Ok(_) => return Ok(None),
                Err(_) => {
                    fs::remove_file(socket).with_context(|| format!("cannot remove {}", socket.display()))?;
                    forget(socket);
                }
            },
            Err(error) => {
                return Err(error).with_context(|| format!("cannot listen on {}", socket.display()));
            }
        }
    }
    anyhow::bail!("{} is bound and served by nobody", socket.display())
}

/// Removes a shim's socket when nobody serves it any more, and what else is a manager's own: a killed one
/// could not.
///
/// Returns false while somebody holds it: a shim, or for a moment a child that was just forked when its shim was killed.
pub fn remove_stale(socket: &Path) -> bool {
    let Some(Ok(_locked)) = socket.parent().map(lock) else { return true };
    match UnixStream::connect(socket) {
        Ok(_) => return false,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            if let Err(error) = fs::remove_file(socket) {
                eprintln!("cannot remove {}: {error}", socket.display());
            }
            forget(socket);
        }
        Err(_) => {}
    }
    true
}

/// Removes each of ours in a folder that nobody serves. containerd has a killed shim cleaned up after only if it had reached it: of
/// one that was killed before, or whose bundle could not be written, it keeps nothing by which it could.
pub fn sweep(folder: &Path) {
    // In this order: whatever is in the folder was bound before it is asked who is.
    let ours: Vec<_> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().ends_with(OURS.as_bytes()))
        .map(|entry| entry.path())
        .collect();
    // A socket that is bound is not asked: that would wake every shim of the node.
    let Ok(all) = fs::read(ALL) else { return };
    let paths =
        all.split(|&byte| byte == b'\n').filter_map(|line| line.split(|&byte| byte == b' ').next_back());
    let bound: HashSet<&Path> = paths.map(|path| Path::new(OsStr::from_bytes(path))).collect();
    for socket in ours.iter().filter(|socket| !bound.contains(socket.as_path())) {
        remove_stale(socket);
    }
}

/// Takes away what else a killed shim has left whose socket this was.
fn forget(socket: &Path) {
    if let Some(name) = socket.file_name().and_then(|name| name.to_str()) {
        manager::forget(name);
        scrape::forget(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_takes_away_ours_that_nobody_serves_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: String| folder.path().join(name);
        let [dead, living, of_others] = [at(name("dead")), at(name("living")), at("of-others".to_owned())];
        for socket in [&dead, &of_others] {
            drop(UnixListener::bind(socket).expect("a socket"));
        }
        let _serves = UnixListener::bind(&living).expect("a socket");
        sweep(folder.path());
        assert!(!dead.exists());
        assert!(living.exists());
        assert!(of_others.exists());
    }
}
