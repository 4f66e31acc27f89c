//! The processes of the pid namespace: all that are there belong to the measurement.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::peer::Peer;

/// How long a shim that is no longer needed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// All of them.
pub fn processes() -> Result<BTreeSet<u32>> {
    let names = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

/// Waits until a peer has no shim, nor another process of the same program, for containers that have been deleted. The one
/// that serves all pods outlives them: it is killed, so that the next measurement counts it from its birth.
pub fn end_shims(peer: Peer) -> Result<()> {
    if peer.is_shared() {
        for pid in running(peer)? {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // It may have gone by itself, or with its parent.
            pid.map(|pid| kill_process(pid, Signal::KILL));
        }
    }
    let begin = Instant::now();
    while !running(peer)?.is_empty() {
        ensure!(begin.elapsed() < PATIENCE, "a {} stays after its last task", peer.shim());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Waits until a peer has no other processes than before: a manager of shared mode is of the same program as a pod's shim.
pub fn end_shims_but(peer: Peer, before: &[u32]) -> Result<()> {
    let begin = Instant::now();
    while running(peer)?.iter().any(|pid| !before.contains(pid)) {
        ensure!(begin.elapsed() < PATIENCE, "a {} stays after its last task", peer.shim());
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The processes of a peer's program. Zombies are none.
pub fn running(peer: Peer) -> Result<Vec<u32>> {
    let is_its = |pid: &u32| {
        let exe = fs::read_link(format!("/proc/{pid}/exe"));
        exe.is_ok_and(|exe| exe.file_name().is_some_and(|name| name == peer.shim()))
    };
    Ok(processes()?.into_iter().filter(is_its).collect())
}
