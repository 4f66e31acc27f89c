//! The system calls of a host: what Wasmtime, tokio and the C library need, and nothing else.
//!
//! The default answer is EPERM. Threads are allowed and processes are not: `clone3`, whose flags a filter cannot see,
//! answers ENOSYS, so that the C library falls back to `clone`, whose flags it can.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::{Jail, JailError, Sockets};

/// Without arguments to look at.
const ALWAYS: &[c_long] = &[
    // Bytes in and out of descriptors that the host was given or opened.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    // Its flag for appending is how guests append.
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_pipe2,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    // Memory: linear memories, code, stacks, the heap.
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_memfd_create,
    libc::SYS_membarrier,
    // Traps arrive as signals.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    // Threads, time, chance.
    libc::SYS_futex,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_uname,
    // The reactor.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_ppoll,
    // Files, below the mounts of the container.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_utimensat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
];

/// The older forms that only x86-64 has and its C library still uses.
#[cfg(target_arch = "x86_64")]
const LEGACY: &[c_long] = &[
    libc::SYS_epoll_wait,
    libc::SYS_poll,
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_readlink,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const LEGACY: &[c_long] = &[];

/// For a listener that a host was given, because its container serves: whoever comes is taken. No socket can be made by
/// these, none bound and none connected.
const SERVING: &[c_long] =
    &[libc::SYS_accept4, libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_shutdown];

/// Sockets, for containers that were granted any network.
const NETWORK: &[c_long] = &[libc::SYS_bind, libc::SYS_connect, libc::SYS_listen, libc::SYS_accept];

/// Installs the filters on this thread. Returns false where the kernel has no seccomp filters.
pub(super) fn apply(jail: &Jail) -> Result<bool, JailError> {
    let failed =
        |error: String| JailError::Step { step: "filter system calls", source: io::Error::other(error) };
    for filter in programs(jail).map_err(|error| failed(error.to_string()))? {
        match seccompiler::apply_filter(&filter) {
            Ok(()) => {}
            Err(seccompiler::Error::Seccomp(error) | seccompiler::Error::Prctl(error))
                if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) =>
            {
                return Ok(false);
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    }
    Ok(true)
}

/// Two programs, because a program has one answer for what it matches: that `clone3` does not exist, and what is
/// allowed. Of several programs' answers the kernel takes the strictest.
fn programs(jail: &Jail) -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    let no_clone3 = SeccompFilter::new(
        [(libc::SYS_clone3, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        arch,
    )?;
    let allowed = SeccompFilter::new(
        rules(jail)?,
        SeccompAction::Errno(libc::EPERM as u32),
        SeccompAction::Allow,
        arch,
    )?;
    // The strict one last: it would not let another be installed.
    Ok([no_clone3.try_into()?, allowed.try_into()?])
}

fn rules(jail: &Jail) -> Result<BTreeMap<c_long, Vec<SeccompRule>>, seccompiler::BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> =
        ALWAYS.iter().chain(LEGACY).chain(SERVING).map(|call| (*call, Vec::new())).collect();
    // The other program says ENOSYS, which is stricter than to allow.
    rules.insert(libc::SYS_clone3, Vec::new());
    let thread = (libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND) as u64;
    rules.insert(libc::SYS_clone, vec![one(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
    rules.insert(libc::SYS_prctl, vec![equal(0, libc::PR_SET_NAME as u64)?]);
    // Asking for a limit is harmless, setting one is not: no new value may be given.
    rules.insert(libc::SYS_prlimit64, vec![equal(2, 0)?]);
    let requests = [libc::FIONBIO, libc::FIOCLEX, libc::FIONREAD, libc::TCGETS, libc::TIOCGWINSZ];
    rules.insert(
        libc::SYS_ioctl,
        requests.iter().map(|request| equal(1, *request)).collect::<Result<_, _>>()?,
    );
    // tokio's wake-up for signals. A connected stream reaches nobody but its own other end; a datagram socket could be
    // pointed at any name of the node.
    let stream = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64;
    rules.insert(libc::SYS_socketpair, vec![both((0, libc::AF_UNIX as u64), (1, stream))?]);
    for call in [libc::SYS_getsockopt, libc::SYS_setsockopt] {
        rules.insert(call, not_about_the_peer()?);
    }
    if jail.sockets != Sockets::None {
        rules.extend(NETWORK.iter().map(|call| (*call, Vec::new())));
        let families = [libc::AF_INET, libc::AF_INET6];
        rules.insert(
            libc::SYS_socket,
            families.iter().map(|family| equal(0, *family as u64)).collect::<Result<_, _>>()?,
        );
    }
    Ok(rules)
}

/// Who is at the other end is no question of a host's: the control channel's other end is the shim, and
/// `SO_PEERPIDFD` (Linux 6.5) would hand out a descriptor of its process, as `SO_PASSPIDFD` would with every message.
/// The numbers mean so only at the level of sockets: elsewhere they are a hop limit, for one.
fn not_about_the_peer() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    const SO_PASSPIDFD: i32 = 76;
    const SO_PEERPIDFD: i32 = 77;
    let options = [
        libc::SO_PEERCRED,
        libc::SO_PEERGROUPS,
        libc::SO_PEERSEC,
        libc::SO_PASSCRED,
        libc::SO_PASSSEC,
        SO_PASSPIDFD,
        SO_PEERPIDFD,
    ];
    let differs = |argument, value: i32| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value as u64)
    };
    let another_level = SeccompRule::new(vec![differs(1, libc::SOL_SOCKET)?])?;
    let another_option =
        SeccompRule::new(options.iter().map(|option| differs(2, *option)).collect::<Result<_, _>>()?)?;
    Ok(vec![another_level, another_option])
}

fn both(first: (u8, u64), second: (u8, u64)) -> Result<SeccompRule, seccompiler::BackendError> {
    let equal =
        |(argument, value)| SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, value);
    SeccompRule::new(vec![equal(first)?, equal(second)?])
}

fn equal(argument: u8, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    one(argument, SeccompCmpOp::Eq, value)
}

fn one(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)?])
}
