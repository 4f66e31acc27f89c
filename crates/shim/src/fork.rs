//! One fork: `start` becomes the shim without a second exec.
#![allow(unsafe_code, reason = "fork has no safe form")]

use std::io;

/// Which of the two processes returned.
pub enum Side {
    Parent,
    Child,
}

/// Forks this process. Must be called while it has one thread: the child then is a full process like any other.
pub fn fork() -> io::Result<Side> {
    debug_assert_eq!(std::fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1), 1);
    // SAFETY: with one thread no lock can be held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        _ => Ok(Side::Parent),
    }
}
