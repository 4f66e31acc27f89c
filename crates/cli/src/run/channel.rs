//! Between the program that was called and itself in namespaces of their own: packets of JSON, some with descriptors.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The most descriptors of one packet; the kernel's own bound is 253.
const MOST: usize = 128;

/// The largest packet, in bytes. What may be larger travels as a file.
const LARGEST: usize = 4096;

/// What is to be run. Its packet has the descriptors of [`Job::file`], of stdin, of the listeners, and of the files, in this order.
#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    /// The shim's program file.
    pub shim: PathBuf,
    /// An empty folder that nobody else sees.
    pub state: PathBuf,
    /// The node config.
    pub config: String,
    /// The OCI runtime spec.
    pub spec: serde_json::Value,
    pub files: Vec<Content>,
    /// The guest's port behind each listener.
    pub ports: Vec<u16>,
    /// Of the terminal, if it is one.
    pub terminal: Option<Size>,
}

/// A file of the root file system, or many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    File(PathBuf),
    /// A tar of them.
    Layer,
}

/// Of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

/// To the inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Run the job that comes with it.
    Run,
    /// Take connections from the listeners. Until then they wait.
    Serve,
    Signal(i32),
    Resize(Size),
    /// Take no more connections, and end the guest when it has answered those that there are.
    Retire,
}

/// From the inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// The guest runs.
    Started,
}

impl Job {
    /// The job as a file, which has no largest size.
    pub fn file(&self) -> Result<OwnedFd> {
        in_memory(&serde_json::to_vec(self)?)
    }
}

/// A file that is in no folder, with these bytes.
pub fn in_memory(bytes: &[u8]) -> Result<OwnedFd> {
    let memfd = rustix::fs::memfd_create("run-wasm", rustix::fs::MemfdFlags::CLOEXEC)
        .context("no memory for what is to be run")?;
    let mut file = File::from(memfd);
    file.write_all(bytes).and_then(|()| file.rewind()).context("no memory for what is to be run")?;
    Ok(file.into())
}

/// One end.
#[derive(Debug)]
pub struct Channel(UnixStream);

impl Channel {
    /// An end to keep, and one to hand over.
    pub fn pair() -> Result<(Channel, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
            .context("cannot make a socket pair")?;
        Ok((Channel::new(ours)?, theirs))
    }

    /// Needs a tokio runtime.
    pub fn new(socket: OwnedFd) -> Result<Channel> {
        // tokio's type for it: what it carries are packets all the same.
        let socket = std::os::unix::net::UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Channel(UnixStream::from_std(socket)?))
    }

    pub fn send<T: Serialize>(&self, message: &T, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            bail!(
                "{} files and ports are more than the {MOST} that can be given to one run",
                descriptors.len()
            );
        }
        let bytes = serde_json::to_vec(message)?;
        let sent = sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL);
        sent.map(drop).context("the run has ended")
    }

    /// The next message; `None` when the other end is gone.
    pub async fn receive<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>> {
        loop {
            self.0.readable().await?;
            match self.0.try_io(Interest::READABLE, || receive(self.0.as_fd())) {
                Ok((bytes, _)) if bytes.is_empty() => return Ok(None),
                Ok((bytes, descriptors)) => return Ok(Some((serde_json::from_slice(&bytes)?, descriptors))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Whoever ended with a packet unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; LARGEST];
    let received =
        recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    bytes.truncate(received.bytes);
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn a_packet_brings_its_descriptors_and_the_end_is_told() {
        let (ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::new(theirs).unwrap();
        let file = in_memory(b"content").unwrap();
        ours.send(&Order::Run, &[file.as_fd()]).unwrap();
        ours.send(&Order::Signal(15), &[]).unwrap();
        let (order, mut files) = theirs.receive::<Order>().await.unwrap().unwrap();
        assert_eq!((order, files.len()), (Order::Run, 1));
        let mut text = String::new();
        File::from(files.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "content");
        assert_eq!(theirs.receive::<Order>().await.unwrap().unwrap().0, Order::Signal(15));
        drop(ours);
        assert!(theirs.receive::<Order>().await.unwrap().is_none());
    }
}
