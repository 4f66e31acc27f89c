//! The faults of shared mode: a manager, a host, a containerd that ends while hundreds of containers run, storms, and
//! neighbours that eat all that they can get. Whatever happens, each container's end is told, others do not notice, and
//! nothing stays.

#[path = "shared/crowds.rs"]
mod crowds;
#[path = "shared/footprint.rs"]
mod footprint;
#[path = "shared/hosts.rs"]
mod hosts;
#[path = "shared/neighbours.rs"]
mod neighbours;
#[path = "shared/pods.rs"]
mod pods;
#[path = "shared/pulse.rs"]
mod pulse;
#[path = "shared/servers.rs"]
mod servers;
#[path = "shared/starts.rs"]
mod starts;
#[path = "shared/storm.rs"]
mod storm;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use anyhow::{Result, bail};
use testkit::{Containerd, Nest, Process, Run};

/// A node on which everything runs in shared mode, and idle processes soon end.
const NODE: &str = "modes = [\"shared\"]\n[shared]\nidle-exit = \"300ms\"\n";

/// A guest of test-images in shared mode.
fn guest<'a>(daemon: &'a Containerd, file: &str) -> Run<'a> {
    daemon.run(file).config(NODE)
}

/// The one manager.
fn manager(nest: &Nest) -> Result<Process> {
    match nest.shims()?.as_slice() {
        [manager] => Ok(manager.clone()),
        others => bail!("there is not one manager: {others:?}"),
    }
}

/// Who measures times holds the machine alone.
static MACHINE: RwLock<()> = RwLock::new(());

fn among_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone_on_the_machine() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}
