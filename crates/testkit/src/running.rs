//! A container that runs beside the test.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::containerd::Containerd;
use crate::figures;
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
    /// The anonymous memory of its host before it came there.
    before: u64,
}

impl<'a> Running<'a> {
    /// Starts a call of `ctr` that lasts as long as what it is about. `unread`: nobody reads its stdout before its end.
    pub(crate) fn begin(
        daemon: &'a Containerd,
        id: String,
        mut command: Command,
        stdin: Stdio,
        unread: bool,
    ) -> Result<Running<'a>> {
        let file = |kind: &str| -> Result<(PathBuf, File)> {
            let path = daemon.nest().folder().join(format!("{id}.{kind}"));
            let file = File::create(&path)?;
            Ok((path, file))
        };
        let (stdout, out) = file("stdout")?;
        let (stderr, err) = file("stderr")?;
        let out = if unread { Stdio::piped() } else { out.into() };
        let host = figures::host(daemon, &id)?;
        let before = host.and_then(|pid| figures::anonymous_memory(pid).ok()).unwrap_or_default();
        let mut ctr = command.stdin(stdin).stdout(out).stderr(err).spawn().context("cannot start ctr")?;
        let unread = ctr.stdout.take();
        Ok(Running { daemon, id, ctr, stdout, stderr, unread, host: None, before })
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

    /// The CPU time that is counted for it.
    pub fn cpu_time(&self) -> Result<Duration> {
        figures::cpu_time(self.daemon, &self.id)
    }

    /// Whether its CPU quota ever held it back.
    pub fn throttled(&self) -> Result<bool> {
        figures::throttled(self.daemon, &self.id)
    }

    /// The anonymous memory of its host process at this moment, in bytes: nothing that it shares with others, nor, where it
    /// shares its host, what that had before.
    pub fn anonymous_memory(&mut self) -> Result<u64> {
        let pid = match self.host {
            Some(pid) => pid,
            None => *self.host.insert(figures::host(self.daemon, &self.id)?.context("it has no host")?),
        };
        Ok(figures::anonymous_memory(pid)?.saturating_sub(self.before))
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
