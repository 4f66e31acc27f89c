//! The log: where its [`Lines`] go. A pod's shim writes to the FIFO `log` in the bundle, which containerd copies to
//! its own; a manager, which belongs to no bundle, to a file.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use grants::policy::LogFormat;
use tracing::Level;

use crate::observe::Lines;

/// When a manager's log has so many bytes, it begins a new one and keeps the old one beside it.
const LARGEST: u64 = 8 << 20;

/// FIFOs of bundles that a manager writes to as well, while somebody reads them: all of them lead to containerd's own log.
static BUNDLES: Mutex<VecDeque<File>> = Mutex::new(VecDeque::new());

/// Of so many bundles one lives on as a rule.
const MOST_BUNDLES: usize = 8;

/// Logs to a file, and to the bundle of a container that lives.
pub fn to_file(path: &Path, format: LogFormat, debug: bool) -> io::Result<()> {
    install(Both(Turned::open(path)?), format, debug);
    Ok(())
}

/// Has a manager's log reach containerd by this bundle, too.
pub fn also_to(bundle: &Path) {
    let open = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(bundle.join("log"));
    // Without a FIFO, or a reader of it, there is still the file.
    let Ok(fifo) = open else { return };
    let mut bundles = BUNDLES.lock().unwrap_or_else(PoisonError::into_inner);
    bundles.push_front(fifo);
    bundles.truncate(MOST_BUNDLES);
}

/// A manager's log.
struct Both(Turned);

impl Write for Both {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut bundles = BUNDLES.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mut bundle) = bundles.front() {
            match bundle.write(line) {
                // Its container has gone, and with it containerd's interest in it.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => drop(bundles.pop_front()),
                _ => break,
            }
        }
        drop(bundles);
        self.0.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs to a bundle. Where there is no FIFO (a shim driven by hand), nothing is logged and nothing fails.
pub fn to_bundle(bundle: &Path, format: LogFormat, debug: bool) {
    // Both ends are held: writing never blocks and never fails while containerd is away.
    let open =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(bundle.join("log"));
    let Ok(fifo) = open else { return };
    install(Lossy(fifo), format, debug);
}

fn install<W>(log: W, format: LogFormat, debug: bool)
where
    W: Write + Send + 'static,
{
    let level = if debug { Level::DEBUG } else { Level::INFO };
    let subscriber = tracing_subscriber::fmt()
        .event_format(Lines(format))
        .with_max_level(level)
        .with_writer(Mutex::new(log))
        .finish();
    // Fails only when a subscriber is set already, and then there is a log.
    drop(tracing::subscriber::set_global_default(subscriber));
}

/// A file that is begun anew when it has become large.
struct Turned {
    path: PathBuf,
    file: File,
    size: u64,
}

impl Turned {
    fn open(path: &Path) -> io::Result<Turned> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        Ok(Turned { path: path.to_owned(), file, size })
    }
}

impl Write for Turned {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.size > LARGEST {
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *self = Turned::open(&self.path)?;
        }
        let written = self.file.write(line)?;
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Drops what a full FIFO does not take: a log must not stop what it reports on.
struct Lossy(File);

impl Write for Lossy {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.0.write(line) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(line.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
