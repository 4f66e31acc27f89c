//! Notes: what a manager that is killed leaves behind, the cgroups of its hosts.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::STATE;

/// The notes of one manager: a folder with a file for each cgroup, which has its directories, one a line.
#[derive(Debug, Clone)]
pub struct Notes(PathBuf);

impl Notes {
    /// Those of the manager with this name.
    pub fn of(name: &str) -> Notes {
        Notes(Path::new(STATE).join(format!("{name}.hosts")))
    }

    /// Notes a cgroup by its directories.
    pub fn write(&self, cgroup: &[PathBuf]) -> Result<()> {
        let Some(file) = self.file(cgroup) else { return Ok(()) };
        let lines: String = cgroup.iter().map(|dir| format!("{}\n", dir.display())).collect();
        let write = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
            fs::write(&file, lines)
        };
        write().with_context(|| format!("cannot write the note {}", file.display()))
    }

    /// Forgets a cgroup that was taken away.
    pub fn strike(&self, cgroup: &[PathBuf]) {
        if let Some(file) = self.file(cgroup) {
            drop(fs::remove_file(file));
        }
        // Fails while there are others.
        drop(fs::remove_dir(&self.0));
    }

    /// All that was noted.
    pub fn all(&self) -> Vec<Vec<PathBuf>> {
        let notes = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let texts = notes.filter_map(|note| fs::read_to_string(note.path()).ok());
        texts.map(|text| text.lines().map(PathBuf::from).collect()).collect()
    }

    /// A cgroup has one name in all hierarchies, which no other host's has.
    fn file(&self, cgroup: &[PathBuf]) -> Option<PathBuf> {
        Some(self.0.join(cgroup.first()?.file_name()?))
    }
}
