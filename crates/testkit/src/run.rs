//! One container, told as a story: what it is given, and what came of it.

use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};

use crate::containerd::Containerd;
use crate::crowd::Crowd;
use crate::mode;
use crate::running::Running;
use crate::terminal;

/// How a command ended. `ctr run` ends as its container does; when the container cannot be made, with 1 and the reason on
/// stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The output of a command that has to succeed.
    pub fn success(self) -> Result<String> {
        ensure!(self.code == 0, "{self}");
        Ok(self.stdout)
    }

    /// The sentence for which a container could not be made: nothing ran, and `ctr` says why.
    pub fn refusal(self) -> Result<String> {
        ensure!(
            self.code != 0 && self.stderr.contains("failed to create shim task"),
            "this was not refused: {self}"
        );
        Ok(self.stderr)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit code {}\nstdout: {}\nstderr: {}",
            self.code,
            shortened(&self.stdout),
            shortened(&self.stderr)
        )
    }
}

fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(4096)).unwrap_or_default()
}

/// A container before it runs.
#[derive(Debug)]
pub struct Run<'a> {
    daemon: &'a Containerd,
    image: Result<String>,
    program: String,
    id: String,
    flags: Vec<String>,
    args: Option<Vec<String>>,
    stdin: Option<Vec<u8>>,
    open_stdin: bool,
    config: Option<String>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl<'a> Run<'a> {
    pub(crate) fn new(daemon: &'a Containerd, image: Result<String>, program: &str) -> Run<'a> {
        let id = format!("c{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let program = program.to_owned();
        Run {
            daemon,
            image,
            program,
            id,
            flags: Vec::new(),
            args: None,
            stdin: None,
            open_stdin: false,
            config: None,
        }
    }

    /// Its id; unique when not said.
    pub fn id(mut self, id: &str) -> Self {
        self.id = id.to_owned();
        self
    }

    /// What follows the program's name in argv.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// The first word of argv, which names the Wasm.
    pub fn program(mut self, program: &str) -> Self {
        self.program = program.to_owned();
        self.args.get_or_insert_default();
        self
    }

    /// A flag of `ctr run`, such as `--read-only`.
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    pub fn env(self, name: &str, value: &str) -> Self {
        self.flag(format!("--env={name}={value}"))
    }

    pub fn annotation(self, name: &str, value: &str) -> Self {
        self.flag(format!("--annotation={name}={value}"))
    }

    /// A bind mount; `options` such as `rbind:ro`.
    pub fn mount(self, source: &Path, destination: &str, options: &str) -> Self {
        self.flag(format!("--mount=type=bind,src={},dst={destination},options={options}", source.display()))
    }

    /// In the network of the nest, which has a loopback device and nothing else.
    pub fn host_network(self) -> Self {
        self.flag("--net-host")
    }

    /// Bytes.
    pub fn memory(self, limit: u64) -> Self {
        self.flag(format!("--memory-limit={limit}"))
    }

    /// What the guest reads from stdin, then its end.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// For [`Run::spawn`]: stdin stays open, to be written to by [`Running::write`], until the end is waited for.
    pub fn open_stdin(mut self) -> Self {
        self.open_stdin = true;
        self
    }

    /// A node config for this run alone.
    pub fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    /// Runs to the end and removes the container.
    pub fn outcome(mut self) -> Result<Outcome> {
        let stdin = self.stdin.take();
        output_of(self.flag("--rm").command()?, stdin)
    }

    /// Starts it and returns: it runs beside the test. Its container is removed at its end.
    pub fn spawn(self) -> Result<Running<'a>> {
        self.begin(false)
    }

    /// The same, with a reader of its stdout who does not read before it ends.
    pub fn spawn_unread(self) -> Result<Running<'a>> {
        self.begin(true)
    }

    fn begin(self, unread: bool) -> Result<Running<'a>> {
        let (daemon, id) = (self.daemon, self.id.clone());
        let stdin = if self.open_stdin { Stdio::piped() } else { Stdio::null() };
        Running::begin(daemon, id, self.flag("--rm").command()?, stdin, unread)
    }

    /// Starts it without anybody who waits: its output goes to the file `log`, its container stays until
    /// [`Containerd::delete`]. Answers its id.
    pub fn detach(self, log: &Path) -> Result<String> {
        let id = self.id.clone();
        let log = format!("--log-uri=file://{}", log.display());
        output_of(self.flag("--detach").flag(log).command()?, None)?.success()?;
        Ok(id)
    }

    /// The many that are made like this one, which itself is not run.
    pub fn crowd(self) -> Result<Crowd<'a>> {
        let (daemon, id) = (self.daemon, self.id.clone());
        output_of(self.ctr(&["containers", "create"])?, None)?.success()?;
        let crowd = Crowd::like(daemon, &id);
        daemon.ctr(["containers", "delete", &id])?.success()?;
        crowd
    }

    /// Runs to the end in a terminal. All that the terminal shows comes as stdout.
    pub fn in_terminal(self) -> Result<Outcome> {
        terminal::outcome(self.flag("--rm").flag("--tty").command()?)
    }

    /// The call of `ctr run`, for whoever needs other streams than pipes.
    fn command(self) -> Result<Command> {
        self.ctr(&["run"])
    }

    fn ctr(self, action: &[&str]) -> Result<Command> {
        let mut words: Vec<String> = action.iter().map(|&word| word.to_owned()).collect();
        words.extend(["--runtime".into(), "io.containerd.run.v2".into()]);
        if let Some(config) = mode::config(self.config.as_deref()) {
            let file = self.daemon.nest().folder().join(format!("{}.config.toml", self.id));
            fs::write(&file, config)?;
            words.extend(["--runtime-config-path".into(), file.display().to_string()]);
        }
        words.extend(self.flags);
        words.extend([self.image?, self.id]);
        if let Some(args) = self.args {
            words.push(self.program);
            words.extend(args);
        }
        self.daemon.ctr_command(words)
    }
}

/// The exit code, as a shell tells it.
pub(crate) fn code_of(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// Runs a command to its end, feeding its stdin beside reading its output.
pub(crate) fn output_of(mut command: Command, stdin: Option<Vec<u8>>) -> Result<Outcome> {
    command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start a command")?;
    let pipe = child.stdin.take();
    let output = std::thread::scope(|scope| {
        if let (Some(mut pipe), Some(bytes)) = (pipe, stdin) {
            // A guest may end before it has read everything.
            scope.spawn(move || drop(pipe.write_all(&bytes)));
        }
        child.wait_with_output()
    })?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Outcome { code: code_of(output.status), stdout: text(output.stdout), stderr: text(output.stderr) })
}
