//! What a test left behind, of everything that the shim makes.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::nest::Nest;
use crate::patience::eventually;

/// Folders of the nest in which nothing may stay: sockets, records, bundles.
const EMPTY: [&str; 3] =
    ["/run/containerd/s", "/run/run-wasm/tasks", "/run/containerd/io.containerd.runtime.v2.task"];

/// How long ends may take that nobody waits for: a shim's own, after containerd told it so.
const GRACE: u64 = 10;

impl Nest {
    /// Everything that is left, one line each.
    pub fn leftovers(&self) -> Result<Vec<String>> {
        let mut left: Vec<String> = Vec::new();
        for process in self.processes()? {
            if process.name != "containerd" {
                left.push(format!("process {} {} ({})", process.pid, process.name, process.command_line));
            }
        }
        left.extend(self.new_mounts()?.into_iter().map(|mount| format!("mount {mount}")));
        for folder in EMPTY {
            files(&self.see(folder), &mut left);
        }
        for hierarchy in fs::read_dir("/sys/fs/cgroup")?.filter_map(Result::ok).map(|entry| entry.path()) {
            for cgroup in [hierarchy.join(self.name()), hierarchy] {
                if cgroup.ends_with(self.name()) && cgroup.is_dir() {
                    left.push(format!("cgroup {}", cgroup.display()));
                }
            }
        }
        Ok(left)
    }

    /// Waits until nothing is left; an error lists what stays.
    pub fn assert_clean(&self) -> Result<()> {
        let clean = eventually("everything is taken away", GRACE, || Ok(self.leftovers()?.is_empty()));
        match self.leftovers()?.as_slice() {
            [] => Ok(()),
            left => clean
                .and_then(|()| anyhow::bail!("it came back"))
                .map_err(|error| error.context(left.join("\n"))),
        }
    }
}

/// Every file below a folder, and each folder in it that holds none. The folder of a containerd namespace may stay.
fn files(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(format!("file {}", path.display()));
        }
    }
}
