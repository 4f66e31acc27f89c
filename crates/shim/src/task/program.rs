//! What runs in a container: a guest, or a native program. Nothing that is asked of both asks which.

use anyhow::Result;

use super::{Guest, signal_ends};
use crate::native;

/// A program at work, or one that has ended.
#[derive(Debug, Clone, Copy)]
pub enum Program<'a> {
    Guest(&'a Guest),
    Native(&'a native::Process),
}

impl Program<'_> {
    pub fn pid(self) -> u32 {
        match self {
            Program::Guest(guest) => guest.pid(),
            Program::Native(process) => process.pid(),
        }
    }

    /// Sends a signal. A guest knows none but those that end it.
    pub fn signal(self, signal: i32) -> Result<()> {
        match self {
            Program::Guest(guest) if signal_ends(signal) => {
                guest.end_by(signal);
                Ok(())
            }
            Program::Guest(_) => Ok(()),
            Program::Native(process) => process.signal(signal),
        }
    }

    /// Ends it.
    pub fn kill(self) {
        if let Err(error) = self.signal(libc::SIGKILL) {
            tracing::warn!(pid = self.pid(), error = format!("{error:#}"), "a process cannot be ended");
        }
    }

    /// Tells the terminal its size, in characters.
    pub fn resize(self, width: u32, height: u32) -> Result<()> {
        match self {
            Program::Guest(guest) => guest.resize(width, height),
            Program::Native(process) => process.resize(width, height),
        }
    }

    /// Tells it that nothing more comes from stdin.
    pub fn close_stdin(self) -> Result<()> {
        match self {
            Program::Guest(guest) => guest.close_stdin(),
            Program::Native(process) => process.close_stdin(),
        }
    }

    /// Closes the streams, which what has ended needs no more.
    pub(super) async fn close(self) {
        match self {
            Program::Guest(guest) => guest.close().await,
            Program::Native(process) => process.close().await,
        }
    }

    /// Takes away what is left of it.
    pub(super) async fn clean(self) {
        match self {
            Program::Guest(guest) => guest.clean().await,
            Program::Native(process) => process.clean().await,
        }
    }
}
