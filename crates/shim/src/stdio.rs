//! A container's standard streams: FIFOs of CRI and `ctr`, files, and logging binaries.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::process::Stdio as ProcessStdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use command_fds::{CommandFdExt, FdMapping};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::loggers;
use crate::stdin::Stdin;
use crate::terminal::Terminal;
use crate::unread::{Unread, is_read};

/// How long a logging binary may take until it is ready.
const LOGGER: Duration = Duration::from_secs(10);

/// How long whoever asked for a container may take to open its end of the output.
const READER: Duration = Duration::from_secs(10);

/// How long whoever reads the output has for that before it hears of the end.
const READING: Duration = Duration::from_secs(1);

/// The streams as containerd names them: a path, or `fifo://`, `file://`, `binary://`; empty for none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Urls {
    pub stdin: String,
    pub stdout: String,
    pub stderr: String,
    pub terminal: bool,
}

/// Open streams. What the guest gets, and what the shim holds so that a reader that goes away and comes back (a
/// restarted containerd) breaks nothing.
#[derive(Debug, Default)]
pub struct Stdio {
    stdin: Option<Stdin>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    held: Vec<OwnedFd>,
    /// Dropped with the streams: from then on a logging binary has its time to end.
    logger: Option<oneshot::Sender<()>>,
    terminal: Option<Terminal>,
}

impl Stdio {
    /// Opens what the URLs name. `id` and `namespace` are told to a logging binary.
    pub async fn open(urls: &Urls, id: &str, namespace: &str) -> Result<Stdio> {
        let (mut stdio, stdin) = Stdio::streams(urls, id, namespace).await?;
        if urls.terminal {
            let terminal = Terminal::open(stdin, stdio.stdout.take()).context("cannot open a terminal")?;
            stdio.stderr = None;
            stdio.terminal = Some(terminal);
        } else {
            stdio.stdin = stdin.map(Stdin::new);
        }
        Ok(stdio)
    }

    /// The same for a native process, whose terminal somebody else makes: with it, and what is returned here, it goes to
    /// [`Stdio::give_terminal`]. Other programs than hosts expect their streams to block.
    pub async fn open_for_native(urls: &Urls, id: &str, namespace: &str) -> Result<(Stdio, Option<OwnedFd>)> {
        let (mut stdio, stdin) = Stdio::streams(urls, id, namespace).await?;
        if urls.terminal {
            return Ok((stdio, stdin));
        }
        stdio.stdin = stdin.map(Stdin::new);
        for stream in stdio.guest().into_iter().flatten() {
            rustix::io::ioctl_fionbio(stream, false)?;
        }
        Ok((stdio, None))
    }

    /// Takes over the side of a terminal that is not its process'.
    pub fn give_terminal(&mut self, ours: OwnedFd, stdin: Option<OwnedFd>) -> Result<()> {
        let terminal = Terminal::around(ours, None, stdin, self.stdout.take());
        self.stderr = None;
        self.terminal = Some(terminal.context("cannot take over a terminal")?);
        Ok(())
    }

    async fn streams(urls: &Urls, id: &str, namespace: &str) -> Result<(Stdio, Option<OwnedFd>)> {
        let mut stdio = Stdio::default();
        let stdin = (!urls.stdin.is_empty()).then(|| input(&urls.stdin)).transpose()?;
        if urls.stdout.starts_with("binary:") {
            let logger = stdio.log_to(&urls.stdout, id, namespace).await;
            logger.with_context(|| format!("the logging binary {}", urls.stdout))?;
        } else {
            stdio.stdout = stdio.output(&urls.stdout).await?;
            stdio.stderr = stdio.output(&urls.stderr).await?;
        }
        Ok((stdio, stdin))
    }

    /// What the guest reads and writes.
    pub fn guest(&self) -> [Option<BorrowedFd<'_>>; 3] {
        match &self.terminal {
            Some(terminal) => [terminal.guest(); 3],
            None => [
                self.stdin.as_ref().map(Stdin::as_fd),
                self.stdout.as_ref().map(OwnedFd::as_fd),
                self.stderr.as_ref().map(OwnedFd::as_fd),
            ],
        }
    }

    /// Says something to the container's stderr on the shim's behalf.
    pub fn complain(&self, message: &str) {
        let [_, _, stderr] = self.guest();
        if let Some(stderr) = stderr {
            // A full FIFO whose reader is gone is no reason to wait: the message is in the log as well.
            let _unread = rustix::io::write(stderr, format!("{message}\n").as_bytes());
        }
    }

    /// containerd's client writes nothing more to stdin. A terminal's user says so by a key, and it stays open.
    pub fn close_stdin(&self) -> Result<()> {
        self.stdin.as_ref().map_or(Ok(()), Stdin::close).context("cannot end the stdin")
    }

    /// Tells the terminal its size, in characters.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        self.terminal.as_ref().context("the container has no terminal")?.resize(width, height)
    }

    /// Closes the streams once the guest has ended: readers see their end. A FIFO that holds what nobody has read yet
    /// is closed when it was read: a containerd that is away for a moment finds it all.
    pub async fn close(mut self, unread: &Unread) {
        if let Some(terminal) = self.terminal.take() {
            terminal.drain().await;
        }
        let Stdio { stdout, stderr, held, logger: _logger, .. } = self;
        wait_for_readers(&held).await;
        if !is_read(&held) {
            unread.keep([stdout, stderr], held);
        }
    }

    async fn output(&mut self, url: &str) -> Result<Option<OwnedFd>> {
        if url.is_empty() {
            return Ok(None);
        }
        let path = Path::new(path_of(url)?);
        let context = || format!("cannot open the output {url}");
        if url.starts_with("file:") || !is_fifo(path) {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).with_context(context)?;
            }
            let file =
                OpenOptions::new().create(true).append(true).mode(0o640).open(path).with_context(context)?;
            return Ok(Some(file.into()));
        }
        let writer = writer(path).await.with_context(context)?;
        let reader =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).with_context(context)?;
        self.held.push(reader.into());
        Ok(Some(writer))
    }

    /// Starts a logging binary (containerd's `binary://` convention): descriptors 3 and 4 are the guest's stdout and
    /// stderr; on 5 it says, with a byte or by closing it, that it is ready.
    async fn log_to(&mut self, url: &str, id: &str, namespace: &str) -> Result<()> {
        let (path, query) = path_of(url)?.split_once('?').unwrap_or((path_of(url)?, ""));
        let (stdout, guest_stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, guest_stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        let (ready, its_ready) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut command = std::process::Command::new(path);
        for (key, value) in query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        {
            command.arg(key);
            if !value.is_empty() {
                command.arg(value);
            }
        }
        command.env_clear().envs(HashMap::from([("CONTAINER_ID", id), ("CONTAINER_NAMESPACE", namespace)]));
        command.stdin(ProcessStdio::null()).stdout(ProcessStdio::null()).stderr(ProcessStdio::null());
        command.fd_mappings(vec![
            FdMapping { parent_fd: stdout, child_fd: 3 },
            FdMapping { parent_fd: stderr, child_fd: 4 },
            FdMapping { parent_fd: its_ready, child_fd: 5 },
        ])?;
        let mut command = Command::from(command);
        let logger = command.kill_on_drop(true).spawn().context("cannot be started")?;
        // The command holds our copies of its descriptors: without this its end would never be seen.
        drop(command);
        let mut ready = tokio::net::unix::pipe::Receiver::from_owned_fd(ready)?;
        if tokio::time::timeout(LOGGER, ready.read(&mut [0])).await.is_err() {
            bail!("did not become ready within {} s", LOGGER.as_secs());
        }
        rustix::io::ioctl_fionbio(&guest_stdout, true)?;
        rustix::io::ioctl_fionbio(&guest_stderr, true)?;
        self.stdout = Some(guest_stdout);
        self.stderr = Some(guest_stderr);
        self.logger = Some(loggers::attend(logger));
        Ok(())
    }
}

/// Gives readers a moment before the end is told. A client of containerd that hears of it first (Go's `fifo` library behind
/// `ctr` and CRI) gives up what it has not begun to read.
async fn wait_for_readers(held: &[OwnedFd]) {
    let deadline = tokio::time::Instant::now() + READING;
    let mut pause = Duration::from_micros(200);
    while !is_read(held) && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(pause).await;
        pause = Duration::from_millis(100).min(pause * 2);
    }
}

/// Opens a FIFO for writing as soon as somebody reads it. Whoever asked for a container opens its end while the
/// container is created; a guest that ended before that would speak to nobody.
async fn writer(path: &Path) -> Result<OwnedFd> {
    let deadline = tokio::time::Instant::now() + READER;
    loop {
        match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                if tokio::time::Instant::now() > deadline {
                    bail!("nobody has opened it for reading within {} s", READER.as_secs());
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            opened => return Ok(opened?.into()),
        }
    }
}

fn input(url: &str) -> Result<OwnedFd> {
    let path = path_of(url)?;
    let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    Ok(open.with_context(|| format!("cannot open the input {url}"))?.into())
}

fn path_of(url: &str) -> Result<&str> {
    match url.split_once("://") {
        None => Ok(url),
        Some(("fifo" | "file" | "binary", path)) => Ok(path),
        Some((scheme, _)) => {
            bail!("the stream {url} has the scheme {scheme}: there are fifo, file and binary")
        }
    }
}

fn is_fifo(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    fn urls(stdout: &Path) -> Urls {
        Urls { stdout: stdout.to_str().unwrap().into(), ..Urls::default() }
    }

    #[tokio::test]
    async fn a_fifo_survives_a_reader_that_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let first = reader(&path);
        let stdio = Stdio::open(&urls(&path), "c", "n").await.unwrap();
        drop(first.join().unwrap());
        rustix::io::write(stdio.guest()[1].unwrap(), b"still here").unwrap();
        let unread = Unread::default();
        stdio.close(&unread).await;
        let mut text = String::new();
        let mut second = reader(&path).join().unwrap();
        tokio::task::spawn_blocking(move || second.read_to_string(&mut text).map(|_| text))
            .await
            .unwrap()
            .map(|text| assert_eq!(text, "still here"))
            .unwrap();
        unread.forget().await;
    }

    #[tokio::test]
    async fn a_reader_that_comes_late_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let urls = urls(&path);
        let mut open = std::pin::pin!(Stdio::open(&urls, "c", "n"));
        let early = tokio::time::timeout(Duration::from_millis(20), &mut open).await;
        assert!(early.is_err(), "nobody reads yet");
        let late = reader(&path);
        open.await.unwrap().close(&Unread::default()).await;
        drop(late.join().unwrap());
    }

    /// Opens a FIFO as containerd does: in a thread, which waits for a writer.
    fn reader(path: &Path) -> std::thread::JoinHandle<File> {
        let path = path.to_owned();
        std::thread::spawn(move || File::open(path).unwrap())
    }

    #[tokio::test]
    async fn a_file_is_appended_to_and_its_folder_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/out");
        for _ in 0..2 {
            let url = format!("file://{}", path.display());
            let stdio = Stdio::open(&Urls { stdout: url, ..Urls::default() }, "c", "n").await.unwrap();
            rustix::io::write(stdio.guest()[1].unwrap(), b"x").unwrap();
            stdio.close(&Unread::default()).await;
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"xx");
    }

    #[tokio::test]
    async fn an_unknown_scheme_is_named() {
        let error = Stdio::open(&urls(Path::new("tcp://1.2.3.4")), "c", "n").await.unwrap_err();
        assert!(error.to_string().contains("tcp"), "{error:#}");
    }
}
