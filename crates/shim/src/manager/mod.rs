//! The manager: the shim of all pods that run in shared mode, one for each containerd and release.
//!
//! It is started by the first `start` that needs it and ends when it has had nothing to do for a while. A `start` that
//! finds it holds a slot in it, by a file, from before the address is printed until Create: between the two it cannot end.

mod arrivals;
mod notes;
mod placement;
mod slots;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::observe::scrape;
use crate::{heap, socket};

pub use arrivals::{Arrival, arrivals};
pub use notes::Notes;
pub use placement::{forget, settle};
pub use slots::Slots;

const STATE: &str = "/run/run-wasm/managers";

/// Where managers log, one file each; the one before it stays beside it.
const LOGS: &str = "/var/log/run-wasm";

/// How often a manager looks whether it has anything to do: the longest pause, and the shortest, where it is to end sooner.
const LOOK: Duration = Duration::from_secs(1);
const SHORTEST_LOOK: Duration = Duration::from_millis(50);

/// What a manager is told at its birth.
#[derive(Debug)]
pub struct Manager {
    /// The name of its socket, which no other manager of the node has.
    pub name: String,
    pub slots: Slots,
    pub idle_exit: Duration,
}

impl Manager {
    pub fn new(name: String, idle_exit: Duration) -> Result<Manager> {
        let slots = Slots::of(&name)?;
        Ok(Manager { name, slots, idle_exit })
    }

    /// Returns when it has had nothing to do for as long as the node's config says. Then its socket is gone, and whoever
    /// needs a manager starts another one.
    pub async fn finished(&self, socket: &Path, tasks: impl Fn() -> usize) -> Result<()> {
        let pause = LOOK.min(self.idle_exit).max(SHORTEST_LOOK);
        let mut idle_since = None;
        let (mut before, mut trimmed) = (0, 0);
        loop {
            tokio::time::sleep(pause).await;
            let now = tasks();
            // Nobody has come or gone for a while: what that took is given back.
            if now == before && now != trimmed {
                heap::trim();
                trimmed = now;
            }
            before = now;
            // What a look finds says nothing of the time before it.
            let idle = match now {
                0 => idle_since.get_or_insert_with(Instant::now).elapsed(),
                _ => {
                    idle_since = None;
                    continue;
                }
            };
            if idle >= self.idle_exit {
                // Whoever looks for a manager holds this lock until it has a slot.
                let _locked = socket::lock(socket.parent().unwrap_or(Path::new("/")))?;
                if tasks() == 0 && self.slots.are_free() {
                    tracing::info!("ends: it had nothing to do");
                    return self.withdraw(socket);
                }
            }
        }
    }

    /// Takes away what has its name: its successor may come as soon as the lock is gone, and has the same.
    fn withdraw(&self, socket: &Path) -> Result<()> {
        fs::remove_file(socket).context("cannot remove the socket")?;
        self.slots.close();
        scrape::forget(&self.name);
        placement::leave(&self.name);
        Ok(())
    }

    /// The file that it logs to.
    pub fn log(&self) -> Result<PathBuf> {
        fs::create_dir_all(LOGS).with_context(|| format!("cannot make the folder {LOGS}"))?;
        Ok(Path::new(LOGS).join(format!("manager-{}.log", self.name.get(..12).unwrap_or(&self.name))))
    }
}

/// What the manager's socket of one containerd is called. Another release, or another build of it, has a manager of its own:
/// new pods go to the new one while the old one drains.
pub fn name(containerd: &str) -> Result<String> {
    use std::os::unix::fs::MetadataExt;
    let program = fs::metadata("/proc/self/exe").context("cannot look at this program")?;
    let build = (program.dev(), program.ino(), program.mtime(), program.mtime_nsec());
    Ok(socket::name(&format!("manager/{containerd}/{}/{build:?}", env!("CARGO_PKG_VERSION"))))
}
