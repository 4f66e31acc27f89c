//! One end of the control channel: whole messages, with descriptors, over a Unix seqpacket socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest message, in bytes; what may be larger travels in a memfd.
pub const MAX_PACKET: usize = 64 * 1024;

/// The most descriptors in one message: a payload, three streams and the node's certificates.
const MAX_FDS: usize = 5;

/// One end of a control channel. Blocking or not is the descriptor's own flag; a non-blocking end reports
/// [`io::ErrorKind::WouldBlock`].
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Makes both ends: the shim's, which does not block, and the host's, which does.
    pub fn pair() -> io::Result<(Channel, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok((Channel(ours), theirs))
    }

    /// Takes over a descriptor that the parent handed on.
    pub fn new(fd: OwnedFd) -> Channel {
        Channel(fd)
    }

    /// Sends one message with its descriptors.
    pub fn send<T: Serialize>(&self, message: &T, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        if bytes.len() > MAX_PACKET {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the message is larger than a packet may be",
            ));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one message"));
        }
        sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Whether there is a message to receive, or the peer is gone, by this moment; without one, it waits for it.
    pub fn readable_by(&self, moment: Option<Instant>) -> io::Result<bool> {
        let left = moment.map(|moment| moment.saturating_duration_since(Instant::now()));
        // What is too long for the kernel's clock is as good as for ever.
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut fds, left.as_ref()) {
            Err(Errno::INTR) => Ok(false),
            result => Ok(result? > 0),
        }
    }

    /// Receives one message and the descriptors that came with it; `None` when the peer is gone.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = self.packet(&mut ancillary)?;
        let fds = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        parse(received).map(|message| message.map(|message| (message, fds)))
    }

    /// Receives one message and refuses every descriptor: the way to listen to a peer that is not trusted.
    pub fn receive_plain<T: DeserializeOwned>(&self) -> io::Result<Option<T>> {
        parse(self.packet(&mut RecvAncillaryBuffer::default())?)
    }

    fn packet(&self, ancillary: &mut RecvAncillaryBuffer<'_>) -> io::Result<Vec<u8>> {
        // Its length first: a host that waits here must not hold memory for the largest message that there could be.
        let (_, length) = match recv(&self.0, &mut [0u8; 0], RecvFlags::PEEK | RecvFlags::TRUNC) {
            // It died with a message of ours unread: gone all the same.
            Err(Errno::CONNRESET) => return Ok(Vec::new()),
            result => result?,
        };
        if length > MAX_PACKET {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a packet larger than the protocol allows",
            ));
        }
        let mut bytes = vec![0; length];
        let result =
            recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], ancillary, RecvFlags::CMSG_CLOEXEC)?;
        bytes.truncate(result.bytes);
        Ok(bytes)
    }
}

fn parse<T: DeserializeOwned>(bytes: Vec<u8>) -> io::Result<Option<T>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Place, Reply, Request, Stdio};

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (shim, host) = Channel::pair().unwrap();
        let host = Channel::new(host);
        let file = std::fs::File::open("/dev/null").unwrap();
        let stdio = Stdio { stdin: false, stdout: true, stderr: false };
        let place = Place { code: "c".into(), root: "a".into(), tag: 1 };
        let launch = Request::Launch { id: "a".into(), place, stdio, roots: false, beside: None };
        shim.send(&launch, &[file.as_fd(), file.as_fd()]).unwrap();
        let (message, fds) = host.receive::<Request>().unwrap().unwrap();
        assert!(
            matches!(message, Request::Launch { id, stdio: got, roots: false, .. } if id == "a" && got == stdio)
        );
        assert_eq!(fds.len(), 2);
    }

    #[test]
    fn a_gone_peer_reads_as_none() {
        let (shim, host) = Channel::pair().unwrap();
        drop(host);
        assert!(shim.receive_plain::<Reply>().unwrap().is_none());
    }

    #[test]
    fn a_peer_that_goes_without_reading_is_gone_all_the_same() {
        let (shim, host) = Channel::pair().unwrap();
        shim.send(&Reply::Ready { id: "unread".into(), serves: false }, &[]).unwrap();
        drop(host);
        assert!(shim.receive_plain::<Reply>().unwrap().is_none());
    }

    #[test]
    fn a_distrusted_peer_cannot_hand_over_descriptors() {
        let (shim, host) = Channel::pair().unwrap();
        let before = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let file = std::fs::File::open("/dev/null").unwrap();
        Channel::new(host.try_clone().unwrap())
            .send(&Reply::Ready { id: "a".into(), serves: false }, &[file.as_fd()])
            .unwrap();
        drop(file);
        assert!(matches!(shim.receive_plain::<Reply>().unwrap(), Some(Reply::Ready { .. })));
        // Other tests open files at the same time: the count may not grow by what was refused.
        assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() <= before + 8);
    }

    #[test]
    fn garbage_is_an_error_and_not_a_message() {
        let (shim, host) = Channel::pair().unwrap();
        rustix::net::send(&host, b"{\"Exited\":", SendFlags::empty()).unwrap();
        assert_eq!(shim.receive_plain::<Reply>().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_message_over_the_limit_is_not_sent() {
        let (shim, _host) = Channel::pair().unwrap();
        let reply = Reply::Failed { message: "x".repeat(MAX_PACKET) };
        assert_eq!(shim.send(&reply, &[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
