//! The records that each shim keeps of its tasks.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Where the shims keep their state.
pub const STATE: &str = "/run/run-wasm";

/// The largest record that is read, in bytes.
const MAX_RECORD: u64 = 1 << 20;

/// One task, as far as these commands care. Shims of other releases may write more, or less.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub namespace: String,
    pub id: String,
    /// `namespace/name` of the Kubernetes pod.
    #[serde(default)]
    pub pod: Option<String>,
    #[serde(default)]
    pub image: Option<String>,
    #[serde(default)]
    pub bundle: PathBuf,
    #[serde(default)]
    pub mode: String,
    /// Told by what lives, where the shim does not tell.
    #[serde(default)]
    pub status: String,
    /// Seconds since 1970.
    #[serde(default)]
    pub created: u64,
    pub shim_pid: u32,
    /// The process that runs the container; none for a sandbox.
    #[serde(default)]
    pub host: Option<Process>,
    /// The table of its grants; none for a sandbox.
    #[serde(default, skip_serializing)]
    pub grants: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`, which tells a process from a later one of the same pid.
    pub started: u64,
}

/// All records below the folder `state`, in no order. One that cannot be read is warned of.
pub fn all(state: &Path) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for file in record_files(&state.join("tasks"))? {
        match read(&file) {
            Ok(Some(record)) => records.push(record),
            Ok(None) => {}
            Err(error) => eprintln!("warning: {error:#}"),
        }
    }
    Ok(records)
}

/// The records of all namespaces: `<folder>/<anything>/<id>.json`. A node without any has no such folder.
fn record_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for namespace in entries(folder)? {
        if namespace.is_dir() {
            files.extend(
                entries(&namespace)?
                    .into_iter()
                    .filter(|file| file.extension().is_some_and(|end| end == "json")),
            );
        }
    }
    Ok(files)
}

/// What is in a folder; nothing when the folder is gone, since namespaces come and go while we look.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list =
        || -> io::Result<Vec<PathBuf>> { fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect() };
    match list() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error).with_context(|| {
            format!("cannot read {}: the records are root's, run this as root", folder.display())
        }),
        other => other.with_context(|| format!("cannot read {}", folder.display())),
    }
}

/// Reads a record; `None` when its task has just ended.
fn read(file: &Path) -> Result<Option<Record>> {
    let context = || format!("cannot read the record {}", file.display());
    let mut bytes = Vec::new();
    match File::open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.and_then(|f| f.take(MAX_RECORD).read_to_end(&mut bytes)).with_context(context)?,
    };
    serde_json::from_slice(&bytes).map(Some).with_context(context)
}
