//! A terminal for a command.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::run::{Outcome, code_of};

/// Runs a command in a terminal of its own to its end; what the terminal shows is its stdout.
pub(crate) fn outcome(mut command: Command) -> Result<Outcome> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let slave = File::options().read(true).write(true).open(std::ffi::OsStr::from_bytes(name.as_bytes()))?;
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    let mut child = command.spawn().context("cannot start a command")?;
    // It holds copies of the slave: the end of the output would never come.
    drop(command);
    let mut shown = Vec::new();
    let mut master = File::from(master);
    let mut chunk = [0; 4096];
    // A terminal that nobody holds any more reads as EIO.
    while let Ok(length @ 1..) = master.read(&mut chunk) {
        shown.extend(chunk.iter().take(length));
    }
    let status = child.wait()?;
    Ok(Outcome {
        code: code_of(status),
        stdout: String::from_utf8_lossy(&shown).into_owned(),
        stderr: String::new(),
    })
}
