//! One more process in a container, by `ctr task exec`.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::containerd::Containerd;
use crate::run::{Outcome, output_of};
use crate::running::Running;
use crate::terminal;

/// A process before it is executed.
#[derive(Debug)]
pub struct Exec<'a> {
    daemon: &'a Containerd,
    task: String,
    id: String,
    flags: Vec<String>,
    args: Vec<String>,
    stdin: Option<Vec<u8>>,
}

impl<'a> Exec<'a> {
    pub(crate) fn new(daemon: &'a Containerd, task: &str) -> Exec<'a> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("e{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Exec { daemon, task: task.to_owned(), id, flags: Vec::new(), args: Vec::new(), stdin: None }
    }

    /// Its id; unique when not said.
    pub fn id(mut self, id: &str) -> Self {
        self.id = id.to_owned();
        self
    }

    /// Its argv.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// A flag of `ctr task exec`.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// What it reads from stdin, then its end.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = ["task", "exec", "--exec-id", &self.id].map(str::to_owned).into();
        words.extend(self.flags.iter().cloned());
        words.push(self.task.clone());
        words.extend(self.args.iter().cloned());
        words
    }

    /// Runs to its end.
    pub fn outcome(self) -> Result<Outcome> {
        output_of(self.daemon.ctr_command(self.words())?, self.stdin)
    }

    /// Runs to its end in a terminal.
    pub fn in_terminal(self) -> Result<Outcome> {
        terminal::outcome(self.daemon.ctr_command(self.flag("--tty").words())?)
    }

    /// Starts it and returns: it runs beside the test.
    pub fn spawn(self) -> Result<Running<'a>> {
        let command = self.daemon.ctr_command(self.words())?;
        Running::begin(self.daemon, self.id, command, std::process::Stdio::null(), false)
    }
}
