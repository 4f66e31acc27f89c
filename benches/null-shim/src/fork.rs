//! One fork: `start` becomes the shim without a second exec.
#![allow(unsafe_code, reason = "fork has no safe form")]

use std::io;

/// Which of the two processes returned.
pub enum Side {
    Parent,
    Child,
}

/// Forks this process, which must have one thread.
pub fn fork() -> io::Result<Side> {
    // SAFETY: with one thread no lock can be held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        _ => Ok(Side::Parent),
    }
}
