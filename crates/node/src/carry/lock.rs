//! One run at a time on a node.

use std::fs::{self, File, OpenOptions};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::paths::{HOME, LOCK, Root};

/// Held as long as it lives; a process that is killed lets go of it.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "closing it is what releases the lock")] File);

/// Takes the lock of the node.
///
/// # Errors
/// Another run has it, or the folder cannot be written.
pub fn take(root: &Root) -> Result<Lock> {
    fs::create_dir_all(root.at(HOME)).with_context(|| format!("cannot make {HOME}"))?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(root.at(LOCK));
    let file = file.with_context(|| format!("cannot write {LOCK}"))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(file)),
        Err(Errno::WOULDBLOCK) => bail!("another run-wasm-node works on this node: wait until it has ended"),
        Err(error) => Err(error).with_context(|| format!("cannot lock {LOCK}")),
    }
}
