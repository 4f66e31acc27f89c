//! The shim's log: one line per event, logfmt, to the FIFO `log` in the bundle, which containerd copies to its own.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use tracing::Level;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Full};

/// Starts logging. Where there is no FIFO (a shim driven by hand), nothing is logged and nothing fails.
pub fn start(bundle: &Path, debug: bool) {
    // Both ends are held: writing never blocks and never fails while containerd is away.
    let open =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(bundle.join("log"));
    let Ok(fifo) = open else { return };
    let level = if debug { Level::DEBUG } else { Level::INFO };
    let format: Format<Full, ()> = Format::default().without_time().with_ansi(false).with_target(false);
    let subscriber = tracing_subscriber::fmt()
        .event_format(format)
        .fmt_fields(DefaultFields::new())
        .with_max_level(level)
        .with_writer(Mutex::new(Lossy(fifo)))
        .finish();
    // Fails only when a subscriber is set already, and then there is a log.
    drop(tracing::subscriber::set_global_default(subscriber));
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
