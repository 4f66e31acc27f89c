//! The freezer: all processes of a cgroup stand still, until they are thawed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use super::files::{Table, write};

/// How long the kernel may take: a process in the middle of a slow system call stands still at its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// v1's file and its words, v2's.
const V1: (&str, &str, &str) = ("freezer.state", "FROZEN", "THAWED");
const V2: (&str, &str, &str) = ("cgroup.freeze", "1", "0");

/// A cgroup that was told to stand still.
#[derive(Debug)]
pub struct Freezing(PathBuf);

/// Tells the cgroup that has these directories to stand still, or to go on. `None` where the node has no freezer.
pub fn freeze(dirs: &[PathBuf], still: bool) -> io::Result<Option<Freezing>> {
    for (file, frozen, thawed) in [V2, V1] {
        if let Some(dir) = dirs.iter().find(|dir| dir.join(file).exists()) {
            write(dir, file, if still { frozen } else { thawed })?;
            return Ok(Some(Freezing(dir.clone())));
        }
    }
    Ok(None)
}

impl Freezing {
    /// Returns when it stands still.
    pub async fn wait(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(200);
        while !stands_still(&self.0)? {
            if Instant::now() > deadline {
                bail!("the container does not stand still within {} s", PATIENCE.as_secs());
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn stands_still(dir: &Path) -> io::Result<bool> {
    let (file, frozen, _) = V1;
    if dir.join(file).exists() {
        return Ok(fs::read_to_string(dir.join(file))?.trim() == frozen);
    }
    Ok(Table::read(dir, "cgroup.events").get("frozen") == 1)
}
