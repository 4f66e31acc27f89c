//! The holder of a pod's namespaces: a process that does nothing, until the shim is gone or ends it.
#![allow(unsafe_code, reason = "signal(2) is not safe to call with a handler; this is none")]

use std::io;
use std::sync::Arc;

use crate::protocol::{Channel, Request};

/// As the first process of a process namespace it is the parent of all orphans in it: the kernel reaps them for it.
pub(crate) fn serve(channel: &Arc<Channel>) -> io::Result<()> {
    // SAFETY: no handler is installed, so none can run at a bad moment.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    match channel.receive::<Request>()? {
        None => Ok(()),
        Some(_) => Err(io::Error::other("a holder is asked for nothing")),
    }
}
