//! cgroup files: single numbers and flat `key value` tables.

use std::fs;
use std::io;
use std::path::Path;

/// A file with one number; `max` reads as `u64::MAX`, a missing file as `None`.
pub fn number(dir: &Path, file: &str) -> Option<u64> {
    let text = fs::read_to_string(dir.join(file)).ok()?;
    match text.trim() {
        "max" => Some(u64::MAX),
        text => text.parse().ok(),
    }
}

/// A file of `key value` lines, read once.
pub struct Table(String);

impl Table {
    pub fn read(dir: &Path, file: &str) -> Table {
        Table(fs::read_to_string(dir.join(file)).unwrap_or_default())
    }

    /// The value of a key; zero where there is none.
    pub fn get(&self, key: &str) -> u64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }
}

/// The processes of a cgroup and of those below it.
pub fn processes(dir: &Path) -> Vec<u32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<u32> =
        text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect();
    let below = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    pids.extend(below.filter(|path| path.is_dir()).flat_map(|path| processes(&path)));
    pids
}

/// Writes a setting, with its file's name in the error.
pub fn write(dir: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    let path = dir.join(file);
    fs::write(&path, value.to_string())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_matched_whole() {
        let table = Table("inactive_file 3\nfile 2\nfile_mapped 1\n".into());
        assert_eq!((table.get("file"), table.get("file_mapped"), table.get("anon")), (2, 1, 0));
    }
}
