//! The standard streams, over descriptors of any kind: FIFO, pipe, terminal, file, or none.

mod descriptor;
mod input;
mod lines;
mod output;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use grants::Profile;

pub(super) use input::Input;
pub(super) use lines::Lines;
pub(super) use output::Output;

/// The three streams of one guest. Clones are the same streams.
#[derive(Clone)]
pub(super) struct Stdio {
    pub input: Input,
    pub output: Output,
    pub error: Output,
}

impl Stdio {
    /// With the strict profile the guest cannot see how fast the other side is.
    pub fn new(
        stdin: Option<OwnedFd>,
        stdout: Option<OwnedFd>,
        stderr: Option<OwnedFd>,
        profile: Profile,
    ) -> io::Result<Self> {
        Ok(Self {
            input: Input::new(stdin, profile)?,
            output: Output::new(stdout, profile)?,
            error: Output::new(stderr, profile)?,
        })
    }

    /// Tells `reason` to whoever reads the guest's stderr, or its terminal.
    pub fn report(&self, reason: &str) {
        let stream = if self.error.is_absent() { &self.output } else { &self.error };
        stream.report(reason);
    }

    /// Tells `reason` of one of many instances. Where nobody reads, so much that nothing more fits, it is lost: they go on.
    pub fn note(&self, reason: &str) {
        let stream = if self.error.is_absent() { &self.output } else { &self.error };
        if stream.has_room() {
            stream.report(reason);
        }
    }

    /// Writes a line of the guest's log behind what it wrote to stderr, when there is room.
    pub async fn log(&self, line: &str) {
        let stream = if self.error.is_absent() { &self.output } else { &self.error };
        stream.log(line).await;
    }

    /// Takes nothing more from the guest, and tells `reason`. What still waits has at most this time to be read.
    /// Needs no event loop, and blocks.
    pub fn close(&self, reason: &str, grace: Duration) {
        let until = Instant::now() + grace;
        let (other, stream) =
            if self.error.is_absent() { (&self.error, &self.output) } else { (&self.output, &self.error) };
        other.close(None, until);
        stream.close(Some(reason), until);
    }

    /// Waits until everything that was written has left this process, or nobody is there to read it.
    pub async fn drain(&self) {
        self.output.drain().await;
        self.error.drain().await;
    }
}
