//! A container that runs beside the test.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout};
use std::time::Duration;

use anyhow::{Context, Result};

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
    unread: Option<ChildStdout>,
    host: Option<i32>,
}

impl<'a> Running<'a> {
    pub(crate) fn new(
        daemon: &'a Containerd,
        id: String,
        mut ctr: Child,
        stdout: PathBuf,
        stderr: PathBuf,
    ) -> Running<'a> {
        let unread = ctr.stdout.take();
        Running { daemon, id, ctr, stdout, stderr, unread, host: None }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it has written so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// The same of stderr.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Writes to its stdin, which has to be open ([`crate::Run::open_stdin`]).
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.ctr.stdin.as_mut().context("its stdin is not open")?.write_all(bytes)?)
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

    /// The anonymous memory of its host process at this moment, in bytes: nothing that it shares with others.
    pub fn anonymous_memory(&mut self) -> Result<u64> {
        let pid = match self.host {
            Some(pid) => pid,
            None => {
                let line = format!(" host {}", self.id);
                let hosts = self.daemon.nest().processes()?;
                let host = hosts.into_iter().find(|process| process.command_line.ends_with(&line));
                *self.host.insert(host.context("it has no host")?.pid)
            }
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.map(|kib| kib << 10).context("it has no memory any more")
    }

    /// Sends a signal by its name, `SIGTERM`.
    pub fn kill(&self, signal: &str) -> Result<()> {
        self.daemon.ctr(["task", "kill", "--signal", signal, &self.id])?.success().map(drop)
    }

    /// Whether it has ended: something, or nothing yet.
    pub fn ended(&mut self) -> Result<Option<()>> {
        Ok(self.ctr.try_wait()?.map(drop))
    }

    /// Closes its stdin and waits for its end.
    pub fn outcome(&mut self) -> Result<Outcome> {
        drop(self.ctr.stdin.take());
        if let Some(mut unread) = self.unread.take() {
            // Now that it ends somebody has to take what is left, or ctr would wait for ever.
            std::thread::spawn(move || io::copy(&mut unread, &mut io::sink()));
        }
        let status = until("the container ends", PATIENCE, || Ok(self.ctr.try_wait()?))?;
        Ok(Outcome {
            code: code_of(status),
            stdout: self.stdout(),
            stderr: fs::read_to_string(&self.stderr)?,
        })
    }
}
