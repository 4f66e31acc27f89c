//! Sockets for the containers of a group: each is made in the network namespace of its container's pod.
//!
//! A host of many belongs to no pod's network. Its kernel asks here for every socket (seccomp_unotify(2)), whichever line
//! of whichever library wants it; the answer is a socket that was made where the container is, or an error.
#![allow(unsafe_code, reason = "seccomp's notifications are ioctls")]

use std::collections::HashMap;
use std::fs;
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use host::tenants::tags::Tags;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Whose sockets belong where, by the containers' tags. Who is not here has no sockets.
#[derive(Debug, Clone, Default)]
pub struct Networks(Arc<Mutex<HashMap<u32, Arc<OwnedFd>>>>);

impl Networks {
    pub fn insert(&self, tag: u32, netns: OwnedFd) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tag, Arc::new(netns));
    }

    pub fn remove(&self, tag: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&tag);
    }

    fn of(&self, tag: u32) -> Option<Arc<OwnedFd>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&tag).cloned()
    }
}

/// Makes the sockets of one host, on a thread of its own, until the host is gone. `uid` and `gid` are the host's: the sockets
/// are theirs.
pub fn serve(listener: OwnedFd, tags: Tags, networks: Networks, uid: u32, gid: u32) -> Result<()> {
    let maker = Maker { listener, tags, networks, threads: HashMap::new() };
    let thread = std::thread::Builder::new().name("sockets".into()).spawn(move || {
        // SAFETY: of this thread alone, and no other call depends on it.
        unsafe {
            libc::setfsgid(gid);
            libc::setfsuid(uid);
        }
        maker.serve();
    });
    thread.map(drop).context("cannot start a thread")
}

struct Maker {
    listener: OwnedFd,
    tags: Tags,
    networks: Networks,
    /// The number that a thread has in its host's own pid namespace, by the one that it has here. A host's threads stay.
    threads: HashMap<u32, u32>,
}

impl Maker {
    fn serve(mut self) {
        loop {
            let mut fds = [PollFd::new(&self.listener, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return tracing::error!(%error, "no host is given sockets any more"),
            }
            let is = |flags| fds.iter().any(|fd| fd.revents().intersects(flags));
            match is(PollFlags::IN) {
                true => {}
                // A filter that no process has any more. Kernels before 6.11 would wait for ever for its next question.
                false if is(PollFlags::HUP | PollFlags::NVAL) => return,
                false => continue,
            }
            match self.answer() {
                Ok(()) => {}
                // The thread that asked is gone, or was interrupted.
                Err(Errno::INTR | Errno::NOENT) => {}
                Err(error) => return tracing::error!(%error, "a host is given no sockets any more"),
            }
        }
    }

    fn answer(&mut self) -> Result<(), Errno> {
        // SAFETY: numbers alone, for which the kernel wants zeros.
        let mut question: libc::seccomp_notif = unsafe { zeroed() };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_RECV, &mut question)?;
        let errno = match self.make(&question).and_then(|socket| self.give(&question, &socket)) {
            Ok(()) => return Ok(()),
            Err(errno) => errno,
        };
        let mut answer =
            libc::seccomp_notif_resp { id: question.id, val: 0, error: -errno.raw_os_error(), flags: 0 };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND, &mut answer)
    }

    /// Answers with a socket.
    ///
    /// # Errors
    /// `EMFILE`: the host has as many descriptors as it may. It is not answered yet then.
    fn give(&self, question: &libc::seccomp_notif, socket: &OwnedFd) -> Result<(), Errno> {
        let mut answer = libc::seccomp_notif_addfd {
            id: question.id,
            flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
            srcfd: socket.as_raw_fd().unsigned_abs(),
            newfd: 0,
            newfd_flags: libc::O_CLOEXEC.unsigned_abs(),
        };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ADDFD, &mut answer)
    }

    /// The socket that was asked for. The host's own filter has refused all families but the internet's.
    fn make(&mut self, question: &libc::seccomp_notif) -> Result<OwnedFd, Errno> {
        let [domain, kind, protocol, ..] = question.data.args.map(|argument| argument as i32);
        if ![libc::AF_INET, libc::AF_INET6].contains(&domain) {
            return Err(Errno::ACCESS);
        }
        let thread = self.thread(question.pid)?;
        // While it waits for the answer it works for nobody else.
        let mut id = question.id;
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &mut id)?;
        let tag = self.tags.of(thread).ok_or(Errno::ACCESS)?;
        let netns = self.networks.of(tag).ok_or(Errno::ACCESS)?;
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        // SAFETY: a new descriptor that nobody else knows, if it is one.
        unsafe {
            let socket = libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol);
            match socket {
                -1 => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::ACCESS)),
                socket => Ok(std::os::fd::FromRawFd::from_raw_fd(socket)),
            }
        }
    }

    fn thread(&mut self, pid: u32) -> Result<u32, Errno> {
        if let Some(thread) = self.threads.get(&pid) {
            return Ok(*thread);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|_| Errno::SRCH)?;
        // proc_pid_status(5): the last number is that of the innermost namespace.
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let number = line.and_then(|line| line.split_whitespace().next_back()?.parse().ok());
        let number = number.ok_or(Errno::SRCH)?;
        self.threads.insert(pid, number);
        Ok(number)
    }

    fn ioctl<T>(&self, request: libc::Ioctl, argument: &mut T) -> Result<(), Errno> {
        // SAFETY: each request is called with the structure that its definition names, which outlives the call.
        match unsafe { libc::ioctl(self.listener.as_raw_fd(), request, std::ptr::from_mut(argument)) } {
            -1 => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
            _ => Ok(()),
        }
    }
}
