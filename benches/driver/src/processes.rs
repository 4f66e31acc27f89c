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

/// The shims that containers of one peer bring.
pub struct Shims {
    peer: Peer,
    /// Processes of the same program that were there before: those of shared mode are of the program of normal mode's.
    others: BTreeSet<u32>,
}

impl Shims {
    /// Those of containers that are still to come.
    pub fn to_come(peer: Peer) -> Result<Shims> {
        Ok(Shims { peer, others: running(peer)? })
    }

    /// Waits until all have gone, as they do when their containers have been deleted. The one that serves all pods stays.
    pub fn await_end(&self) -> Result<()> {
        let begin = Instant::now();
        while !self.peer.is_shared() && !running(self.peer)?.is_subset(&self.others) {
            ensure!(begin.elapsed() < PATIENCE, "a {} stays after its last task", self.peer.shim());
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Kills the shim that serves all pods, if the peer has one, so that what comes next counts it from its birth.
pub fn kill_server(peer: Peer) -> Result<()> {
    let begin = Instant::now();
    while peer.is_shared() && !running(peer)?.is_empty() {
        ensure!(begin.elapsed() < PATIENCE, "a {} does not end when it is killed", peer.shim());
        for pid in running(peer)? {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // It may have gone by itself, or with its parent.
            pid.map(|pid| kill_process(pid, Signal::KILL));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The processes of a peer's program. Zombies are none.
pub fn running(peer: Peer) -> Result<BTreeSet<u32>> {
    let is_its = |pid: &u32| {
        let exe = fs::read_link(format!("/proc/{pid}/exe"));
        exe.is_ok_and(|exe| exe.file_name().is_some_and(|name| name == peer.shim()))
    };
    Ok(processes()?.into_iter().filter(is_its).collect())
}
