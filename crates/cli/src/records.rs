//! The records that each shim keeps of its tasks.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::host::started;
use crate::shims::Shims;

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
    /// The digest of its Wasm.
    #[serde(default)]
    pub code: Option<String>,
    /// Directories that were made for it alone.
    #[serde(default)]
    pub cgroups: Vec<PathBuf>,
    /// The table of its grants; none for a sandbox.
    #[serde(default)]
    pub grants: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`, which tells a process from a later one of the same pid.
    pub started: u64,
}

impl Record {
    /// Settles the status: its shim knows.
    pub fn judged(self, shims: &mut Shims) -> Record {
        let told = shims.state(&self).ok();
        self.settled(told, started)
    }

    /// By what the shim has `told`, or else by what lives. `started` answers when the process of a pid was started, if there
    /// is one.
    fn settled(mut self, told: Option<&str>, started: impl Fn(u32) -> Option<u64>) -> Record {
        let word = match (&self.host, told) {
            // Nobody keeps the record true any more.
            _ if started(self.shim_pid).is_none() => "stale",
            (None, Some("running")) => "sandbox",
            (_, Some(told)) => told,
            _ if !self.status.is_empty() => return self,
            (None, None) => "sandbox",
            (Some(host), None) if started(host.pid) == Some(host.started) => "running",
            (Some(_), None) => "stopped",
        };
        self.status = word.into();
        self
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Whether this could be the id of a container: containerd's rule for identifiers.
pub fn may_be_an_id(text: &str) -> bool {
    let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-');
    !text.is_empty() && text.len() <= 76 && text.chars().all(fits)
}

/// The one container whose id this is, or begins so.
pub fn find(state: &Path, container: &str) -> Result<Record> {
    let (mut exact, mut begins): (Vec<Record>, Vec<Record>) = all(state)?
        .into_iter()
        .filter(|record| record.id.starts_with(container))
        .partition(|record| record.id == container);
    let found = if exact.is_empty() { &mut begins } else { &mut exact };
    let shown = container.escape_debug();
    match (found.pop(), found.as_slice()) {
        (None, _) => {
            bail!("run-wasm has no container {shown} on this node: `run-wasm ps` lists those that it has")
        }
        (Some(one), []) => Ok(one),
        (Some(one), others) => {
            let mut ids: Vec<String> = others
                .iter()
                .chain([&one])
                .map(|record| format!("{}/{}", record.namespace, record.id))
                .collect();
            ids.sort();
            bail!("{shown} could be any of {}: name one of them whole", ids.join(", ").escape_debug())
        }
    }
}

/// All records, those of one pod beside each other.
pub fn sorted(state: &Path) -> Result<Vec<Record>> {
    let mut records = all(state)?;
    records.sort_by(|a, b| {
        (&a.namespace, &a.pod, a.created, &a.id).cmp(&(&b.namespace, &b.pod, b.created, &b.id))
    });
    Ok(records)
}

/// All records below the folder `state`, in no order. One that cannot be read is warned of.
fn all(state: &Path) -> Result<Vec<Record>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: serde_json::Value) -> Record {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_record_of_another_release_is_read() {
        let read = record(
            serde_json::json!({"namespace": "default", "id": "a", "shim_pid": 7, "surprise": {"x": 1}}),
        );
        assert_eq!((read.id.as_str(), read.status.as_str(), read.host), ("a", "", None));
    }

    #[test]
    fn a_record_whose_shim_is_gone_is_stale() {
        let of =
            || record(serde_json::json!({"namespace": "n", "id": "a", "shim_pid": 7, "status": "paused"}));
        assert_eq!(of().settled(None, |pid| (pid == 7).then_some(1)).status, "paused");
        assert_eq!(of().settled(None, |_| None).status, "stale");
    }

    #[test]
    fn what_the_shim_says_counts() {
        let of = |host| record(serde_json::json!({"namespace": "n", "id": "a", "shim_pid": 7, "host": host}));
        let host = serde_json::json!({"pid": 8, "started": 50});
        // The host of many runs on when one of them has ended.
        assert_eq!(of(host).settled(Some("stopped"), |_| Some(50)).status, "stopped");
        assert_eq!(of(serde_json::Value::Null).settled(Some("running"), |_| Some(1)).status, "sandbox");
        assert_eq!(of(serde_json::Value::Null).settled(Some("stopped"), |_| Some(1)).status, "stopped");
    }

    #[test]
    fn a_status_that_the_shim_does_not_tell_is_seen_by_what_lives() {
        let of = |host| record(serde_json::json!({"namespace": "n", "id": "a", "shim_pid": 7, "host": host}));
        let host = || serde_json::json!({"pid": 8, "started": 50});
        let status = |record: Record, living: &[(u32, u64)]| {
            record.settled(None, |pid| living.iter().find(|(p, _)| *p == pid).map(|(_, at)| *at)).status
        };
        assert_eq!(status(of(serde_json::Value::Null), &[(7, 1)]), "sandbox");
        assert_eq!(status(of(host()), &[(7, 1), (8, 50)]), "running");
        assert_eq!(status(of(host()), &[(7, 1)]), "stopped");
        assert_eq!(status(of(host()), &[(7, 1), (8, 51)]), "stopped", "the pid is another process by now");
    }
}
