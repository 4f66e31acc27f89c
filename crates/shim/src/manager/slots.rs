//! Slots: who has been told a manager's address and has not come yet.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Arrival, STATE};

/// How long containerd may take from `start` to Create: its own deadlines are shorter.
const LONGEST: Duration = Duration::from_secs(300);

/// The slots of one manager: a folder with a file for each.
#[derive(Debug, Clone)]
pub struct Slots(PathBuf);

impl Slots {
    /// Those of the manager with this name.
    pub fn of(name: &str) -> Result<Slots> {
        let folder = Path::new(STATE).join(name);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Slots(folder))
    }

    /// Those of a manager that there is, or was.
    pub fn found(name: &str) -> Option<Slots> {
        let folder = Path::new(STATE).join(name);
        folder.is_dir().then_some(Slots(folder))
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Who has taken the slot of this name.
    pub fn arrival(&self, name: &OsStr) -> Option<Arrival> {
        let (namespace, id) = name.to_str()?.split_once('@')?;
        let bundle = PathBuf::from(OsString::from_vec(fs::read(self.0.join(name)).ok()?));
        Some(Arrival { namespace: namespace.to_owned(), id: id.to_owned(), bundle })
    }

    #[cfg(test)]
    pub fn in_folder(folder: PathBuf) -> Slots {
        Slots(folder)
    }

    fn file(&self, namespace: &str, id: &str) -> PathBuf {
        // Neither has a slash, and a namespace no other character than letters, digits, `.`, `_` and `-`.
        self.0.join(format!("{namespace}@{id}"))
    }

    /// Takes one, for the task of this bundle. The manager must not be at its end: see [`crate::start`].
    pub fn take(&self, namespace: &str, id: &str, bundle: &Path) -> Result<()> {
        let file = self.file(namespace, id);
        // The folder goes with a manager that ends.
        let take = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
            fs::write(&file, bundle.as_os_str().as_bytes())
        };
        take().with_context(|| format!("cannot take the slot {}", file.display()))
    }

    /// Gives it back, if it was taken.
    pub fn give_back(&self, namespace: &str, id: &str) {
        match fs::remove_file(self.file(namespace, id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, id, "a slot stays behind");
            }
            _ => {}
        }
    }

    /// Whether nobody is on its way. Who takes too long does not come, nor does a task whose bundle is gone.
    pub fn are_free(&self) -> bool {
        let taken = fs::read_dir(&self.0).into_iter().flatten().flatten().filter(|slot| {
            let age =
                slot.metadata().and_then(|slot| slot.modified()).ok().and_then(|time| time.elapsed().ok());
            let bundle = fs::read(slot.path()).map(|path| PathBuf::from(OsString::from_vec(path)));
            let forgotten = age.is_some_and(|age| age > LONGEST) || bundle.is_ok_and(|path| !path.exists());
            if forgotten {
                // Another look finds it again should this fail.
                drop(fs::remove_file(slot.path()));
            }
            !forgotten
        });
        taken.count() == 0
    }

    /// Removes the folder at the manager's end. One that was killed has slots in it still: containerd does not clean up after a
    /// task whose shim it has not reached. Whoever still comes finds nobody, or a manager that has begun since.
    pub fn close(&self) {
        drop(fs::remove_dir_all(&self.0));
        drop(self.0.parent().map(fs::remove_dir));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_keeps_a_manager_until_it_is_given_back_and_a_killed_managers_slots_go_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let slots = Slots(folder.path().join("managers/one"));
        assert!(slots.are_free());
        for id in ["a", "b@c", "d"] {
            slots.take("k8s.io", id, folder.path()).expect("a slot");
        }
        slots.give_back("k8s.io", "b@c");
        assert!(!slots.are_free());
        slots.close();
        assert!(slots.are_free());
        slots.take("k8s.io", "e", &folder.path().join("gone")).expect("a slot");
        assert!(slots.are_free(), "its bundle is gone");
        slots.close();
        assert!(!folder.path().join("managers").exists(), "nothing is left behind");
    }
}
