//! What a test left behind, of everything that the shim makes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::nest::Nest;
use crate::patience::eventually;

/// Folders of the nest in which nothing may stay: sockets, records, what is on its way to a manager, bundles.
const EMPTY: [&str; 6] = [
    "/run/containerd/s",
    "/run/run-wasm/tasks",
    "/run/run-wasm/managers",
    "/run/run-wasm/native",
    "/run/run-wasm/metrics",
    "/run/containerd/io.containerd.runtime.v2.task",
];

/// How long ends may take that nobody waits for: a shim's own, after containerd told it so.
const GRACE: u64 = 30;

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
        remove_empty_cgroup_of_pods(self.name());
        left.extend(cgroups(self.name()).into_iter().map(|cgroup| format!("cgroup {}", cgroup.display())));
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

/// The cgroups of a nest, in every hierarchy: containerd's namespace has the nest's name.
pub(crate) fn cgroups(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies =
        fs::read_dir(root).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
    let places = hierarchies.chain([root.to_owned()]).map(|hierarchy| hierarchy.join(name));
    places.filter(|cgroup| cgroup.is_dir()).collect()
}

/// Has what a failed test has left paused go on, to its end: a frozen process of cgroup v1 does not hear that it is killed.
pub(crate) fn thaw(name: &str) {
    for folder in cgroups(name) {
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
            let state = entry.path().join("freezer.state");
            if state.exists() {
                // Whatever is wrong with it is seen by who waits for the processes.
                drop(fs::write(state, "THAWED"));
            }
        }
    }
}

/// Takes away the cgroups that a failed test has left behind. No process may be left in them.
pub(crate) fn remove_cgroups(name: &str) {
    fn remove(folder: &Path) {
        let below =
            fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path());
        below.filter(|path| path.is_dir()).for_each(|path| remove(&path));
        if let Err(error) = fs::remove_dir(folder) {
            eprintln!("the cgroup {} stays behind: {error}", folder.display());
        }
    }
    cgroups(name).iter().for_each(|cgroup| remove(cgroup));
}

/// The cgroup of all pods in that of a nest, as the kubelet names it.
pub(crate) const PODS: &str = "kubepods";

/// Takes away the cgroup of a pod that is gone, as the kubelet does; an error where one of its containers' is still there.
pub(crate) fn remove_pod_cgroup(nest: &str, pod: &str) -> Result<()> {
    for parent in cgroups(nest) {
        let cgroup = parent.join(PODS).join(pod);
        match fs::remove_dir(&cgroup) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(format!("the cgroup {}", cgroup.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Takes away what the kubelet would keep: the cgroup of all pods, where nothing is in it.
fn remove_empty_cgroup_of_pods(nest: &str) {
    for parent in cgroups(nest) {
        // What holds anything is found afterwards.
        drop(fs::remove_dir(parent.join(PODS)));
        drop(fs::remove_dir(parent));
    }
}

/// Every file below a folder. The folder of a containerd namespace may stay, and what containerd was about to remove when it
/// was killed: it hides a bundle by a name of its own first, and never looks for that again.
fn files(folder: &Path, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden {
                files(&path, found);
            }
        } else {
            found.push(format!("file {}", path.display()));
        }
    }
}
