//! A terminal: a pty whose one side the guest holds, and two copies between the other and containerd's FIFOs.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use crate::reactor::register;

/// How long what the guest wrote last may take to reach a reader that is slow.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub struct Terminal {
    ours: Arc<AsyncFd<OwnedFd>>,
    /// `None` where somebody else has made the terminal, for a process that has it already.
    guest: Option<OwnedFd>,
    input: Option<JoinHandle<io::Result<()>>>,
    output: Option<JoinHandle<io::Result<()>>>,
}

impl Terminal {
    /// Opens a pty and starts to copy.
    pub fn open(stdin: Option<OwnedFd>, stdout: Option<OwnedFd>) -> Result<Terminal> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags).context("no pty")?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let guest = ioctl_tiocgptpeer(&ours, flags)?;
        Terminal::around(ours, Some(guest), stdin, stdout)
    }

    /// Starts to copy to and from the other side of the guest's.
    pub fn around(
        ours: OwnedFd,
        guest: Option<OwnedFd>,
        stdin: Option<OwnedFd>,
        stdout: Option<OwnedFd>,
    ) -> Result<Terminal> {
        rustix::io::ioctl_fionbio(&ours, true)?;
        let ours = Arc::new(register(ours, Interest::READABLE | Interest::WRITABLE)?);
        let copy_in = |stdin| -> io::Result<_> {
            Ok(tokio::spawn(copy(Arc::new(register(stdin, Interest::READABLE)?), ours.clone())))
        };
        let copy_out = |stdout| -> io::Result<_> {
            Ok(tokio::spawn(copy(ours.clone(), Arc::new(register(stdout, Interest::WRITABLE)?))))
        };
        let input = stdin.map(copy_in).transpose()?;
        let output = stdout.map(copy_out).transpose()?;
        Ok(Terminal { ours, guest, input, output })
    }

    /// The guest's side.
    pub fn guest(&self) -> Option<BorrowedFd<'_>> {
        self.guest.as_ref().map(AsFd::as_fd)
    }

    /// Tells the size, in characters.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        let cells = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
        let size = Winsize { ws_col: cells(width), ws_row: cells(height), ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.ours.get_ref(), size).context("cannot resize the terminal")
    }

    /// Copies what is left, after the guest has ended.
    pub async fn drain(self) {
        let Terminal { guest, input, output, .. } = self;
        if let Some(input) = input {
            input.abort();
        }
        // The last holder of the guest's side: reading ours ends with EIO now.
        drop(guest);
        if let Some(mut output) = output
            && tokio::time::timeout(DRAIN, &mut output).await.is_err()
        {
            output.abort();
        }
    }
}

/// Copies until one side ends. A pty whose other side is closed reads as EIO, which is its way to say so.
async fn copy(from: Arc<AsyncFd<OwnedFd>>, to: Arc<AsyncFd<OwnedFd>>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count =
            from.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut buffer[..])?)).await?;
        let Some(mut rest) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { return Ok(()) };
        while !rest.is_empty() {
            let written = to.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd, rest)?)).await?;
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}
