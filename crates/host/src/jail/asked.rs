//! Sockets that somebody else makes: a filter that has the kernel ask for each.
#![allow(unsafe_code, reason = "seccomp(2) has no safe form that hands out the listener")]

use std::io;
use std::os::fd::RawFd;

use super::{JailError, step};

/// A step of a filter (`<linux/filter.h>`).
fn statement(code: u32, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// Where `seccomp_data` has the number of the call.
const NUMBER: u32 = 0;

/// Installs the filter on this thread and on all that it will start. Returns the number of the descriptor on which the
/// kernel asks: it stays in this process, for the shim to fetch, and is of no use here.
///
/// Other filters decide as before: of their answers the kernel takes the strictest, and an error is stricter than a
/// question.
pub(super) fn install() -> Result<RawFd, JailError> {
    let mut program = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, NUMBER),
        jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::SYS_socket as u32, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_USER_NOTIF),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the program outlives the call, and its length is its own.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const filter,
        )
    };
    let listener = i32::try_from(listener).ok().filter(|fd| *fd >= 0);
    step("be asked about sockets", listener.ok_or_else(io::Error::last_os_error))
}
