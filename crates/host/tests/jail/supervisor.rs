//! Whom the kernel asks for the sockets of a host of many: here, somebody who makes none.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};

use super::sys::{bytes, call};

/// `struct seccomp_notif` and `struct seccomp_notif_resp` (`<linux/seccomp.h>`), in words of 8 bytes.
const QUESTION: usize = 10;
const ANSWER: usize = 3;

/// Refuses every socket until the host is gone; how many it was asked for.
pub fn refuse_all(listener: &OwnedFd) -> usize {
    let fd = i64::from(listener.as_raw_fd());
    let mut asked = 0;
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        let waiting = poll(&mut fds, None).is_ok();
        if !waiting || !fds.iter().all(|fd| fd.revents().contains(PollFlags::IN)) {
            return asked;
        }
        let mut question = [0u64; QUESTION];
        if call(libc::SYS_ioctl, [fd, libc::SECCOMP_IOCTL_NOTIF_RECV as i64, bytes(&mut question), 0, 0])
            .is_err()
        {
            continue;
        }
        asked += 1;
        // Who asks, a value that nobody reads, the error.
        let error = u64::from((-libc::EACCES).cast_unsigned());
        let mut answer: [u64; ANSWER] = [question[0], 0, error];
        // Whoever asked may be gone.
        drop(call(libc::SYS_ioctl, [fd, libc::SECCOMP_IOCTL_NOTIF_SEND as i64, bytes(&mut answer), 0, 0]));
    }
}
