//! Where a manager itself lives: a resource of the node and of no pod.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Notes, Slots};
use crate::cgroup;

/// Low enough that the kernel ends pods first, as containerd's own shims have it.
const OOM_SCORE: &str = "-998";

/// How long the kernel may take to end the hosts of a manager that was killed, and to let go of the manager.
const LETTING_GO: Duration = Duration::from_secs(2);
const LETTING_ITSELF_GO: Duration = Duration::from_millis(200);

/// Gives its cgroup up, at the end.
pub fn leave(name: &str) {
    let Ok(dirs) = cgroup::directories(&own(name)) else { return };
    for dir in &dirs {
        // `<root>/<controller>/run-wasm/<name>`, or without a controller.
        if let Some(root) = dir.parent().and_then(Path::parent) {
            drop(fs::write(root.join("cgroup.procs"), std::process::id().to_string()));
        }
    }
    cgroup::remove(&dirs);
}

/// Takes away what a manager that was killed has left: the cgroups of its hosts, which end with it, its own, and its
/// slots. Does nothing for any other shim.
pub fn forget(name: &str) {
    let Some(slots) = Slots::found(name) else { return };
    let notes = Notes::of(name);
    for cgroup in notes.all() {
        if remove_within(LETTING_GO, &cgroup) {
            notes.strike(&cgroup);
        }
    }
    if let Ok(dirs) = cgroup::directories(&own(name)) {
        remove_within(LETTING_ITSELF_GO, &dirs);
    }
    slots.close();
}

fn remove_within(time: Duration, dirs: &[PathBuf]) -> bool {
    let deadline = Instant::now() + time;
    loop {
        let removed = cgroup::remove(dirs);
        if removed || Instant::now() > deadline {
            return removed;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn own(name: &str) -> String {
    format!("/run-wasm/{}", name.get(..12).unwrap_or(name))
}

/// Leaves containerd's cgroup for one of its own and asks the kernel to end others first. Where it may not, it stays where
/// it is: a nested containerd may lack the right.
pub fn settle(name: &str) {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
        tracing::info!(%error, "the manager keeps the OOM score that it was born with");
    }
    let dirs = match cgroup::directories(&own(name)) {
        Ok(dirs) => dirs,
        Err(error) => {
            return tracing::info!(error = format!("{error:#}"), "the manager stays in containerd's cgroup");
        }
    };
    for dir in dirs {
        let enter = fs::create_dir_all(&dir)
            .and_then(|()| fs::write(dir.join("cgroup.procs"), std::process::id().to_string()));
        if let Err(error) = enter {
            tracing::info!(%error, cgroup = %dir.display(), "the manager stays in a cgroup of containerd's");
        }
    }
}
