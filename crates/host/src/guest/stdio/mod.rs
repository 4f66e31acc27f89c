//! The standard streams, over descriptors of any kind: FIFO, pipe, terminal, file, or none.

mod descriptor;
mod input;
mod output;

use std::io;
use std::os::fd::OwnedFd;

pub(super) use input::Input;
pub(super) use output::Output;

/// The three streams of one guest. Clones are the same streams.
#[derive(Clone)]
pub(super) struct Stdio {
    pub input: Input,
    pub output: Output,
    pub error: Output,
}

impl Stdio {
    pub fn new(stdin: Option<OwnedFd>, stdout: Option<OwnedFd>, stderr: Option<OwnedFd>) -> io::Result<Self> {
        Ok(Self { input: Input::new(stdin)?, output: Output::new(stdout)?, error: Output::new(stderr)? })
    }

    /// Tells `reason` to whoever reads the guest's stderr, or its terminal.
    pub fn report(&self, reason: &str) {
        let stream = if self.error.is_absent() { &self.output } else { &self.error };
        stream.report(reason);
    }

    /// Waits until everything that was written has left this process, or nobody is there to read it.
    pub async fn drain(&self) {
        self.output.drain().await;
        self.error.drain().await;
    }
}
