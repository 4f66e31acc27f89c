//! The streams of a guest: FIFOs to the shim, as containerd's clients have them, and ours.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::sync::mpsc;

/// What happened to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Nothing more comes from stdin.
    InputEnded,
    /// Nobody reads our stdout or stderr any more.
    Unread,
}

/// The FIFOs, and the threads that copy.
#[derive(Debug)]
pub struct Streams {
    pub stdin: PathBuf,
    pub stdout: PathBuf,
    /// None with a terminal.
    pub stderr: Option<PathBuf>,
    outputs: Vec<JoinHandle<()>>,
}

impl Streams {
    /// Makes them in `folder`, and copies from `input` and to our stdout and stderr. Events go to `events`.
    pub fn open(
        folder: &Path,
        input: OwnedFd,
        terminal: bool,
        events: &mpsc::UnboundedSender<Event>,
    ) -> Result<Streams> {
        let fifo = |name: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).context("cannot make a FIFO")?;
            Ok(path)
        };
        let (stdin, stdout) = (fifo("stdin")?, fifo("stdout")?);
        let stderr = if terminal { None } else { Some(fifo("stderr")?) };
        // By descriptors of their own: whoever called us may have locked those of the library.
        let ours = |stream: BorrowedFd<'_>| stream.try_clone_to_owned().map(File::from);
        let mut outputs = vec![output(stdout.clone(), ours(io::stdout().as_fd())?, events.clone())?];
        if let Some(stderr) = &stderr {
            outputs.push(output(stderr.clone(), ours(io::stderr().as_fd())?, events.clone())?);
        }
        // With a reader of its own it is there before the shim opens its end.
        let guest = OpenOptions::new().read(true).write(true).open(&stdin).context("cannot open a FIFO")?;
        let events = events.clone();
        spawn("stdin", move || {
            // A background process of a terminal reads nothing from it, and a guest that has ended takes nothing.
            let _ended = copy(&mut File::from(input), &mut { guest });
            let _told = events.send(Event::InputEnded);
        })?;
        Ok(Streams { stdin, stdout, stderr, outputs })
    }

    /// Waits until all that the guest has written is told. The shim has closed its ends.
    pub fn finish(self) {
        for output in self.outputs {
            drop(output.join());
        }
    }
}

fn output(path: PathBuf, mut to: File, events: mpsc::UnboundedSender<Event>) -> Result<JoinHandle<()>> {
    spawn("output", move || {
        // Opening waits for the shim.
        let copied = File::open(path).and_then(|mut from| copy(&mut from, &mut to));
        if copied.is_err() {
            let _told = events.send(Event::Unread);
        }
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(work).context("cannot start a thread")
}

/// What comes is passed on at once: lines are not waited for.
fn copy(from: &mut File, to: &mut File) -> io::Result<()> {
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                to.write_all(piece.get(..count).unwrap_or_default())?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
