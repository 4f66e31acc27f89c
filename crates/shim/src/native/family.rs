//! What ties this process and its children: who ends with whom, who is reaped by whom, and signals.
#![allow(
    unsafe_code,
    reason = "a hook between fork and exec, and a raw system call for signals without a name"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::process::Command;

/// Has a command end with this process. Must be started on the main thread, with which it then ends.
pub fn ends_with_us(command: &mut Command) {
    // SAFETY: the hook makes one system call and allocates nothing.
    unsafe { command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?)) };
}

/// Sends a signal, also one of those that have a number alone (`SIGRTMIN+3`). A process that has ended is no error.
pub fn signal(pidfd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: plain integers and a null pointer, which the call allows.
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            number,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    match sent {
        0 => Ok(()),
        _ => match io::Error::last_os_error() {
            gone if gone.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            error => Err(error),
        },
    }
}
