//! A descriptor that joins the event loop only when it first has to wait: most never do.
#![allow(unsafe_code, reason = "the event loop must be promised that a descriptor stays open")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A non-blocking descriptor and what to wait for on it.
pub(super) struct Descriptor {
    fd: Shared,
    interest: Interest,
    registered: Option<AsyncFd<Shared>>,
}

#[derive(Clone)]
struct Shared(Arc<OwnedFd>);

impl AsRawFd for Shared {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.0.as_fd()
    }
}

impl Descriptor {
    /// To read from or to write to, as `interest` says. Makes `fd` non-blocking, for all who share its open file.
    pub fn new(fd: OwnedFd, interest: Interest) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        if !flags.contains(OFlags::NONBLOCK) {
            rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        }
        Ok(Self { fd: Shared(Arc::new(fd)), interest, registered: None })
    }

    /// What poll(2) says at this moment: empty when to read or write would block, hang-ups and errors included.
    pub fn now(&self) -> PollFlags {
        self.wait(Duration::ZERO)
    }

    /// What poll(2) says within this time. Blocks.
    pub fn wait(&self, most: Duration) -> PollFlags {
        let wanted = if self.interest.is_readable() { PollFlags::IN } else { PollFlags::OUT };
        let mut fds = [PollFd::new(&self.fd.0, wanted)];
        let most = Timespec::try_from(most).unwrap_or_default();
        match rustix::event::poll(&mut fds, Some(&most)) {
            Ok(_) => fds.first().map_or(PollFlags::empty(), PollFd::revents),
            Err(_) => PollFlags::ERR,
        }
    }

    /// Ready when to read or write would not block: there are bytes or room, or an end or an error to find.
    ///
    /// Needs a tokio runtime. Only the task that asked last is woken.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            // Also what regular files end with: they are always ready, and the event loop would not take them.
            if !self.now().is_empty() {
                return Poll::Ready(());
            }
            let Ok(registered) = self.register() else { return Poll::Ready(()) };
            let guard = match registered.1.is_readable() {
                true => ready!(registered.0.poll_read_ready(context)),
                false => ready!(registered.0.poll_write_ready(context)),
            };
            let Ok(mut guard) = guard else { return Poll::Ready(()) };
            // The event loop remembers: it may speak of bytes that were read since, which is cleared, or of a peer
            // that hung up before another one came, which only a new registration forgets.
            guard.clear_ready();
            let gone = guard.ready().is_read_closed() || guard.ready().is_write_closed();
            drop(guard);
            if gone {
                self.registered = None;
            }
        }
    }

    fn register(&mut self) -> io::Result<(&AsyncFd<Shared>, Interest)> {
        let interest = self.interest;
        let registered = match self.registered.take() {
            Some(registered) => registered,
            // SAFETY: `Shared` owns the descriptor, never closes or replaces it while it lives, and lives as long as
            // the registration.
            None => unsafe { AsyncFd::register_with_interest(self.fd.clone(), interest) }?,
        };
        Ok((self.registered.insert(registered), interest))
    }
}
