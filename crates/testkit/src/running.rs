//! A container that runs beside the test.

use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::Result;

use crate::cgroup;
use crate::containerd::Containerd;
use crate::patience::{eventually, until};
use crate::run::{Outcome, code_of};

/// How long guests may take to say or do what is waited for: a large component is compiled first.
const PATIENCE: u64 = 120;

#[derive(Debug)]
pub struct Running<'a> {
    daemon: &'a Containerd,
    id: String,
    ctr: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl<'a> Running<'a> {
    pub(crate) fn new(
        daemon: &'a Containerd,
        id: String,
        ctr: Child,
        stdout: PathBuf,
        stderr: PathBuf,
    ) -> Running<'a> {
        Running { daemon, id, ctr, stdout, stderr }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it has written so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// Waits until it has written `text`.
    pub fn says(&mut self, text: &str) -> Result<()> {
        let waiting = format!("the container says {text:?}");
        eventually(&waiting, PATIENCE, || {
            if let (Some(status), false) = (self.ctr.try_wait()?, self.stdout().contains(text)) {
                let stderr = fs::read_to_string(&self.stderr)?;
                anyhow::bail!("the container ended ({status}) before it said {text:?}: {stderr}");
            }
            Ok(self.stdout().contains(text))
        })
    }

    /// The CPU time that the kernel counts for its cgroup.
    pub fn cpu_time(&self) -> Result<Duration> {
        cgroup::cpu_time(self.daemon.nest().name(), &self.id)
    }

    /// Whether its CPU quota ever held it back.
    pub fn throttled(&self) -> Result<bool> {
        cgroup::throttled(self.daemon.nest().name(), &self.id)
    }

    /// Sends a signal by its name, `SIGTERM`.
    pub fn kill(&self, signal: &str) -> Result<()> {
        self.daemon.ctr(["task", "kill", "--signal", signal, &self.id])?.success().map(drop)
    }

    /// Waits for its end.
    pub fn outcome(&mut self) -> Result<Outcome> {
        let status = until("the container ends", PATIENCE, || Ok(self.ctr.try_wait()?))?;
        Ok(Outcome {
            code: code_of(status),
            stdout: self.stdout(),
            stderr: fs::read_to_string(&self.stderr)?,
        })
    }
}
