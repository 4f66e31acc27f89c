//! The streams of a guest: FIFOs to the shim, as containerd's clients have them, and ours.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::io::Errno;
use tokio::sync::mpsc;

/// What happened to a stream.
#[derive(Debug)]
pub enum Event {
    /// Nothing more comes from stdin.
    InputEnded,
    /// Nobody reads our stdout or stderr any more.
    Unread,
    /// They cannot be written, such as to a full disk.
    Unwritable(io::Error),
}

/// Whether our stderr is in the middle of a line.
pub type OpenLine = Arc<AtomicBool>;

/// The FIFOs, and the threads that copy.
#[derive(Debug)]
pub struct Streams {
    pub stdin: PathBuf,
    pub stdout: PathBuf,
    /// None with a terminal.
    pub stderr: Option<PathBuf>,
    outputs: Vec<JoinHandle<()>>,
    /// A reading end of the stdin: a FIFO that nobody has open forgets what was written to it (fifo(7)), and the input may end
    /// before the shim opens it.
    _held: OwnedFd,
}

impl Streams {
    /// Makes them in `folder`, and copies from `given` and to our stdout and stderr. Events go to `events`.
    pub fn open(
        folder: &Path,
        given: OwnedFd,
        terminal: bool,
        events: &mpsc::UnboundedSender<Event>,
        open_line: &OpenLine,
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
        let mut outputs = vec![output(stdout.clone(), ours(io::stdout().as_fd())?, events.clone(), None)?];
        if let Some(stderr) = &stderr {
            let line = Some(open_line.clone());
            outputs.push(output(stderr.clone(), ours(io::stderr().as_fd())?, events.clone(), line)?);
        }
        let held = input(&stdin, given, events.clone())?;
        Ok(Streams { stdin, stdout, stderr, outputs, _held: held })
    }

    /// Waits until all that the guest has written is told. The shim has closed its ends.
    pub fn finish(self) {
        for output in self.outputs {
            drop(output.join());
        }
    }
}

/// Copies to the FIFO at `path`, of which a reading end is given back.
fn input(path: &Path, from: OwnedFd, events: mpsc::UnboundedSender<Event>) -> Result<OwnedFd> {
    // Without waiting for a writer, which it is before.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let held = rustix::fs::open(path, flags, Mode::empty()).context("cannot open a FIFO")?;
    // For writing alone: the guest would see no end as long as its own side could write.
    let mut guest = OpenOptions::new().write(true).open(path).context("cannot open a FIFO")?;
    spawn("stdin", move || {
        // A background process of a terminal reads nothing from it, and a guest that has ended takes nothing.
        let _ended = copy(&mut File::from(from), &mut guest, None);
        drop(guest);
        let _told = events.send(Event::InputEnded);
    })?;
    Ok(held)
}

fn output(
    path: PathBuf,
    mut to: File,
    events: mpsc::UnboundedSender<Event>,
    open_line: Option<OpenLine>,
) -> Result<JoinHandle<()>> {
    spawn("output", move || {
        // Opening waits for the shim.
        let copied = File::open(path).and_then(|mut from| copy(&mut from, &mut to, open_line.as_ref()));
        if let Err(error) = copied {
            // A terminal that has gone is an I/O error.
            let is_gone = error.kind() == io::ErrorKind::BrokenPipe
                || error.raw_os_error() == Some(Errno::IO.raw_os_error());
            let _told = events.send(if is_gone { Event::Unread } else { Event::Unwritable(error) });
        }
    })
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(work).context("cannot start a thread")
}

/// What comes is passed on at once: lines are not waited for.
fn copy(from: &mut File, to: &mut File, open_line: Option<&OpenLine>) -> io::Result<()> {
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = patiently(from, PollFlags::IN, |from| from.read(&mut piece))?;
        let mut rest = piece.get(..count).unwrap_or_default();
        let Some(last) = rest.last() else { return Ok(()) };
        if let Some(open_line) = open_line {
            open_line.store(*last != b'\n', Ordering::Relaxed);
        }
        while !rest.is_empty() {
            let written = patiently(to, PollFlags::OUT, |to| to.write(rest))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}

/// Reads or writes as soon as it can be done: whoever shares a stream with us may have made it one that does not wait.
fn patiently(
    file: &mut File,
    ready: PollFlags,
    mut action: impl FnMut(&mut File) -> io::Result<usize>,
) -> io::Result<usize> {
    loop {
        match action(file) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                match poll(&mut [PollFd::new(&*file, ready)], None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a pipe that does not wait.
    fn pipe() -> (File, File) {
        let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
        (reader.into(), writer.into())
    }

    #[tokio::test]
    async fn what_was_piped_in_waits_for_a_shim_that_comes_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdin");
        mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
        let (given, mut ours) = pipe();
        ours.write_all(b"to and fro").unwrap();
        drop(ours);
        let (told, mut events) = mpsc::unbounded_channel();
        let held = input(&path, given.into(), told).unwrap();
        assert!(matches!(events.recv().await, Some(Event::InputEnded)));
        // As the shim opens it.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let mut guest = File::from(rustix::fs::open(&path, flags, Mode::empty()).unwrap());
        let mut text = String::new();
        guest.read_to_string(&mut text).unwrap();
        assert_eq!(text, "to and fro");
        drop(held);
    }

    #[test]
    fn a_stream_that_does_not_wait_is_waited_for() {
        // More than a pipe holds.
        let bytes = vec![7; 300_000];
        let source = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(source.path(), &bytes).unwrap();
        let (mut reader, mut writer) = pipe();
        let mut from = source.reopen().unwrap();
        let copying = std::thread::spawn(move || copy(&mut from, &mut writer, None));
        let mut copied = Vec::new();
        let mut piece = vec![0; 4096];
        loop {
            match patiently(&mut reader, PollFlags::IN, |reader| reader.read(&mut piece)).unwrap() {
                0 => break,
                count => copied.extend_from_slice(&piece[..count]),
            }
        }
        copying.join().unwrap().unwrap();
        assert!(copied == bytes);
    }

    #[tokio::test]
    async fn a_full_disk_is_told_and_a_reader_that_has_gone_is_another_thing() {
        let folder = tempfile::tempdir().unwrap();
        let (told, mut events) = mpsc::unbounded_channel();
        let path = folder.path().join("text");
        std::fs::write(&path, "half a line").unwrap();
        let line = OpenLine::default();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        output(path.clone(), full, told.clone(), Some(line.clone())).unwrap().join().unwrap();
        assert!(matches!(events.recv().await, Some(Event::Unwritable(_))));
        assert!(line.load(Ordering::Relaxed));
        let (reader, writer) = pipe();
        drop(reader);
        output(path, writer, told, None).unwrap().join().unwrap();
        assert!(matches!(events.recv().await, Some(Event::Unread)));
    }
}
