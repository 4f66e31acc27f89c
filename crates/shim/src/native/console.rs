//! The socket over which a runtime hands out the terminal that it has made for a process (`--console-socket`).

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::Interest;
use tokio::net::UnixListener;

/// The longest name that a runtime tells of a terminal, in bytes; nobody reads it.
const NAME: usize = 4096;

#[derive(Debug)]
pub struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    pub fn at(path: PathBuf) -> Result<Console> {
        let listener =
            UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
        Ok(Console { listener, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The terminal's side that is not the process'. The runtime has sent it by the time it has made the process.
    pub async fn terminal(self) -> Result<OwnedFd> {
        let (stream, _) = self.listener.accept().await.context("the runtime hands out no terminal")?;
        loop {
            stream.readable().await?;
            let mut name = [0; NAME];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = stream.try_io(Interest::READABLE, || {
                let mut parts = [IoSliceMut::new(&mut name)];
                Ok(recvmsg(
                    &stream,
                    &mut parts,
                    &mut ancillary,
                    RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
                )?)
            });
            match received {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                other => other.context("the runtime hands out no terminal")?,
            };
            let fds = ancillary.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            });
            match fds.flatten().next() {
                Some(terminal) => return Ok(terminal),
                None => bail!("the runtime hands out no terminal"),
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}
