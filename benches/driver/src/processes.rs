//! The processes of the pid namespace: all that are there belong to the measurement.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::peer::Peer;

/// How long a shim that is no longer needed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// The unit of `/proc/PID/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

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

/// Seconds of processors that all processes here have used, with those that were and have been waited for: each of them counts with its
/// parent, or with whoever buries it.
pub fn processor_seconds() -> Result<f64> {
    let stat = |pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    Ok(processes()?.into_iter().filter_map(|pid| ticks(&stat(pid)?)).sum::<f64>() / TICKS_PER_SECOND)
}

/// `PID (NAME) STATE ...`: its own time of user and kernel, and that of its children.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().skip(11).take(4).map(|field| field.parse::<f64>().ok()).sum()
}

/// The processes of a peer's program. Zombies are none.
pub fn running(peer: Peer) -> Result<BTreeSet<u32>> {
    let is_its = |pid: &u32| {
        let exe = fs::read_link(format!("/proc/{pid}/exe"));
        exe.is_ok_and(|exe| exe.file_name().is_some_and(|name| name == peer.shim()))
    };
    Ok(processes()?.into_iter().filter(is_its).collect())
}

#[cfg(test)]
mod tests {
    use super::ticks;

    #[test]
    fn a_process_has_its_own_time_and_that_of_its_children() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 9 8 7 6 1 20 300 4000 20 0 1 0 5 6 7";
        assert_eq!(ticks(stat), Some(4321.0));
    }
}
