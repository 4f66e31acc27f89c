//! Starts a host: `clone3` into fresh namespaces and the container's cgroup, then exec of this same binary.
//!
//! The child runs in a copy of a process that may have threads, so between clone and exec it makes system calls and
//! nothing else: no allocation, no lock, no C library function that keeps state.
#![allow(unsafe_code, reason = "clone3 and exec have no safe form; every block says why it is sound")]

use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::{Pid, Signal};

use crate::protocol::CONTROL_FD;

/// What a new host or compiler process is born with.
#[derive(Debug)]
pub struct Birth<'a> {
    /// The arguments after the program's name; the first is the role (`host`, `compile`).
    pub args: &'a [&'a str],
    /// Becomes descriptor 3.
    pub control: BorrowedFd<'a>,
    /// Becomes descriptor 2: what a panic or an abort says.
    pub stderr: BorrowedFd<'a>,
    /// A cgroup v2 directory to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// `tasks` files of cgroup v1 hierarchies that the child joins before it becomes the new program. A thread that
    /// moves itself does not wait for the kernel's global lock; writing a pid to `cgroup.procs` does.
    pub join: &'a [OwnedFd],
    /// A network namespace of its own, with nothing in it.
    pub new_network: bool,
    /// One heap for all threads: right for a process that is mostly one thread and mostly waits, wrong for one whose
    /// threads all allocate, as a compiler's do.
    pub one_heap: bool,
}

/// A child process: its pid as this process sees it, and a descriptor that stays right when pids are reused.
#[derive(Debug)]
pub struct Child {
    pub pid: Pid,
    pub pidfd: OwnedFd,
}

/// `struct clone_args` of `clone3(2)`, as of Linux 5.7.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `CLONE_INTO_CGROUP`, which libc declares too narrow for a 64-bit flag word.
const INTO_CGROUP: u64 = 0x2_0000_0000;

/// Exit status of a child that could not become the new program; its errno is lost, its stage is not.
const CANNOT_JOIN: i32 = 120;
const CANNOT_EXEC: i32 = 121;

/// Starts the child. It holds descriptors 0 and 1 on `/dev/null`, 2 and 3 as `birth` says, and no other.
///
/// Must be called from a thread that lives as long as the child should: the kernel ends the child with it.
pub fn spawn(birth: &Birth<'_>) -> io::Result<Child> {
    let program = c"/proc/self/exe";
    let name = CString::new("containerd-shim-run-v2")?;
    let args = birth.args.iter().map(|arg| CString::new(*arg)).collect::<Result<Vec<_>, _>>()?;
    let mut argv: Vec<*const c_char> =
        std::iter::once(name.as_ptr()).chain(args.iter().map(|arg| arg.as_ptr())).collect();
    argv.push(std::ptr::null());
    // Nothing of the shim's environment.
    let heap = if birth.one_heap { c"MALLOC_ARENA_MAX=1".as_ptr() } else { std::ptr::null() };
    let envp = [heap, std::ptr::null::<c_char>()];
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let join: Vec<RawFd> = birth.join.iter().map(AsRawFd::as_raw_fd).collect();
    let moves = [
        (null.as_raw_fd(), 0),
        (null.as_raw_fd(), 1),
        (birth.stderr.as_raw_fd(), 2),
        (birth.control.as_raw_fd(), CONTROL_FD),
    ];

    let mut pidfd: RawFd = -1;
    let namespaces = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    let network = if birth.new_network { libc::CLONE_NEWNET } else { 0 };
    let mut clone = CloneArgs {
        flags: (namespaces | network | libc::CLONE_PIDFD) as u32 as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = birth.cgroup {
        clone.flags |= INTO_CGROUP;
        clone.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: `clone` outlives the call and has the size that is passed. Without CLONE_VM the child has its own copy
    // of memory; it returns 0 there and runs `become_program`, which never returns and only makes system calls on
    // data prepared above.
    let pid = unsafe {
        let pid = libc::syscall(libc::SYS_clone3, &raw mut clone, size_of::<CloneArgs>());
        if pid == 0 {
            become_program(&join, &moves, program.as_ptr(), argv.as_ptr(), envp.as_ptr());
        }
        pid
    };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel stored a new descriptor here, which nobody else knows.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid, pidfd })
}

/// The child's few steps from clone to exec.
///
/// # Safety
/// To be called only in a fresh child; the pointers must be valid, null-terminated arrays of C strings.
unsafe fn become_program(
    join: &[RawFd],
    moves: &[(RawFd, RawFd); 4],
    program: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
) -> ! {
    // SAFETY: plain system calls on integers and on memory that the parent prepared before the clone.
    unsafe {
        for tasks in join {
            if libc::write(*tasks, c"0".as_ptr().cast(), 1) != 1 {
                libc::_exit(CANNOT_JOIN);
            }
        }
        // Sources may sit where targets go: lift them all out of the way first.
        let mut lifted = [0; 4];
        for (slot, (source, _)) in lifted.iter_mut().zip(moves) {
            *slot = libc::fcntl(*source, libc::F_DUPFD, 16);
        }
        for (source, (_, target)) in lifted.iter().zip(moves) {
            if libc::dup2(*source, *target) != *target {
                libc::_exit(CANNOT_EXEC);
            }
        }
        libc::syscall(libc::SYS_close_range, CONTROL_FD as u32 + 1, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // Whatever the parent blocked or ignored is not the child's business.
        let mut none = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::execve(program, argv, envp);
        libc::_exit(CANNOT_EXEC)
    }
}

/// The host's end of the control channel, as its parent left it. To be called once, first thing in the process.
pub fn inherited_control() -> OwnedFd {
    // SAFETY: `spawn` put the descriptor there for this process, and nothing else has taken it over.
    unsafe { OwnedFd::from_raw_fd(CONTROL_FD) }
}

impl Child {
    /// Sends a signal; a child that is gone already is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsRawFd for Child {
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
