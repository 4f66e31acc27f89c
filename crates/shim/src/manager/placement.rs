//! Where a manager itself lives: a resource of the node and of no pod.

use std::fs;
use std::path::Path;

use crate::cgroup;

/// Low enough that the kernel ends pods first, as containerd's own shims have it.
const OOM_SCORE: &str = "-998";

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

fn own(name: &str) -> String {
    format!("/run-wasm/{}", name.get(..12).unwrap_or(name))
}

/// Leaves containerd's cgroup for one of its own and asks the kernel to end others first. Where it may not, it stays where
/// it is: a nested containerd may lack the right.
pub fn settle(name: &str) {
    if let Err(error) = fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
        tracing::info!(%error, "the manager keeps the OOM score that it was born with");
    }
    let moved = cgroup::directories(&own(name)).and_then(|dirs| {
        for dir in dirs {
            fs::create_dir_all(&dir)?;
            fs::write(dir.join("cgroup.procs"), std::process::id().to_string())?;
        }
        Ok(())
    });
    if let Err(error) = moved {
        tracing::info!(error = format!("{error:#}"), "the manager stays in containerd's cgroup");
    }
}
