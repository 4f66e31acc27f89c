//! What the node knows of a task besides the shim's memory: for `delete` when the shim is dead, for `run-wasm ps`.
//!
//! One JSON file a task, `/run/run-wasm/tasks/<containerd>-<namespace>/<id>.json`, gone with the task.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use grants::Mode;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

const STATE: &str = "/run/run-wasm/tasks";

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub namespace: String,
    pub id: String,
    /// `namespace/name` of the Kubernetes pod.
    pub pod: Option<String>,
    pub image: Option<String>,
    pub bundle: PathBuf,
    pub mode: Mode,
    /// Seconds since 1970.
    pub created: u64,
    pub shim_pid: i32,
    /// The process that runs the container; none for a sandbox.
    pub host: Option<Process>,
    /// The grants that the container was created with, as a table for people; none for a sandbox. What it would get by
    /// now, under a config that has changed, is another matter.
    #[serde(default)]
    pub grants: Option<String>,
    /// The digest of its Wasm; none for a sandbox.
    #[serde(default)]
    pub code: Option<String>,
    /// cgroup directories that were made for the container.
    pub cgroups: Vec<PathBuf>,
}

/// A process, told apart from a later one of the same pid by its start time (field 22 of `/proc/PID/stat`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    pub started: u64,
}

impl Process {
    /// Reads the start time of a process that exists.
    pub fn of(pid: i32) -> Result<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
        // The name in field 2 may hold anything, parentheses included; what follows the last one is regular.
        let (_, rest) = stat.rsplit_once(')').context("an unreadable /proc/PID/stat")?;
        let started = rest.split_whitespace().nth(19).and_then(|field| field.parse().ok());
        Ok(Process { pid, started: started.context("no start time in /proc/PID/stat")? })
    }

    /// Whether this very process still exists.
    pub fn lives(&self) -> bool {
        Process::of(self.pid).is_ok_and(|now| now == *self)
    }
}

/// Where the records of one namespace of one containerd are.
#[derive(Debug, Clone)]
pub struct Records(PathBuf);

impl Records {
    /// `address` is containerd's gRPC socket: two containerds on a node may use one namespace and one id.
    pub fn of(address: &str, namespace: &str) -> Records {
        let digest = Sha256::digest(address);
        let daemon: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Records(Path::new(STATE).join(format!("{daemon}-{namespace}")))
    }

    fn file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }

    /// Writes a record whole, or not at all.
    pub fn write(&self, record: &Record) -> Result<()> {
        let file = self.file(&record.id);
        let draft = draft_of(&file);
        let write = || -> io::Result<()> {
            // Root's alone: the arguments of a container are nobody's business.
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
            fs::write(&draft, serde_json::to_vec(record)?)?;
            fs::rename(&draft, &file)
        };
        write()
            .inspect_err(|_| drop(fs::remove_file(&draft)))
            .with_context(|| format!("cannot write the record {}", file.display()))
    }

    /// Reads a record; `None` when there is none.
    pub fn read(&self, id: &str) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.file(id)).ok()?).ok()
    }

    /// Removes a record, and the folder when it was the last.
    pub fn remove(&self, id: &str) {
        drop(fs::remove_file(self.file(id)));
        // Of a shim that was killed as it wrote.
        drop(fs::remove_file(draft_of(&self.file(id))));
        drop(fs::remove_dir(&self.0));
    }
}

fn draft_of(file: &Path) -> PathBuf {
    file.with_extension("new")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_itself_and_no_other() {
        let me = Process::of(std::process::id() as i32).unwrap();
        assert!(me.lives());
        assert!(!Process { started: me.started + 1, ..me }.lives());
        assert!(!Process { pid: 0, started: 0 }.lives());
    }
}
