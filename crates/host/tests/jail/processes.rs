//! Processes of the node, and the making of processes and namespaces.

use libc::{
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS,
    SIGCHLD,
};

use super::super::sys::{bytes, call, fork};
use super::{Attacker, Bait, count};

const CLONE_NEWTIME: i32 = 0x80;
/// Beyond what a node has; the victim's own number is among them or is tried besides.
const PIDS: i64 = 40_000;

pub fn attack(attacker: &mut Attacker, bait: &Bait) {
    let victim = i64::from(bait.victim);
    looking(attacker, victim);
    touching(attacker, victim);
    namespaces(attacker);
}

fn looking(attacker: &mut Attacker, victim: i64) {
    let others = || (2..PIDS).chain([victim]);
    attacker.harmless("signal all", || call(libc::SYS_kill, [-1, 0, 0, 0, 0]));
    attacker.harmless("signal any", || count(others().map(|pid| call(libc::SYS_kill, [pid, 0, 0, 0, 0]))));
    attacker.harmless("signal any thread", || {
        count(others().map(|pid| call(libc::SYS_tgkill, [pid, pid, 0, 0, 0])))
    });
    attacker
        .harmless("open any", || count(others().map(|pid| call(libc::SYS_pidfd_open, [pid, 0, 0, 0, 0]))));
    attacker.harmless("see the group of any", || {
        count(others().map(|pid| call(libc::SYS_getpgid, [pid, 0, 0, 0, 0])))
    });
    attacker.harmless("see the session of any", || {
        count(others().map(|pid| call(libc::SYS_getsid, [pid, 0, 0, 0, 0])))
    });
    attacker.harmless("see the priority of any", || {
        count(others().map(|pid| call(libc::SYS_getpriority, [0, pid, 0, 0, 0])))
    });
    attacker.harmless("see the processors of any", || {
        let mut set = [0u64; 128];
        count(others().map(|pid| call(libc::SYS_sched_getaffinity, [pid, 1024, bytes(&mut set), 0, 0])))
    });
    attacker.harmless("see the limits of any", || {
        let mut limit = [0u64; 2];
        count(others().map(|pid| call(libc::SYS_prlimit64, [pid, 7, 0, bytes(&mut limit), 0])))
    });
    attacker.harmless("compare with any", || {
        count([1, victim].into_iter().map(|pid| call(libc::SYS_kcmp, [1, pid, 0, 0, 0])))
    });
}

fn touching(attacker: &mut Attacker, victim: i64) {
    let mut memory = [0u8; 16];
    let mut local = [bytes(&mut memory), 16];
    let mut remote = [0x40_0000i64, 16];
    // The sixth argument, flags, is 0.
    attacker.harmless("read memory", || {
        call(libc::SYS_process_vm_readv, [victim, bytes(&mut local), 1, bytes(&mut remote), 1])
    });
    attacker.harmful("write memory", || {
        call(libc::SYS_process_vm_writev, [victim, bytes(&mut local), 1, bytes(&mut remote), 1])
    });
    for (name, request) in [("attach", libc::PTRACE_ATTACH), ("seize", libc::PTRACE_SEIZE)] {
        attacker
            .harmful(&format!("trace: {name}"), || call(libc::SYS_ptrace, [request.into(), victim, 0, 0, 0]));
    }
    attacker.harmful("be traced", || call(libc::SYS_ptrace, [libc::PTRACE_TRACEME.into(), 0, 0, 0, 0]));
    attacker.harmful("take a descriptor of the control channel's end", || {
        call(libc::SYS_pidfd_getfd, [3, 0, 0, 0, 0])
    });
    attacker.harmful("queue a signal", || {
        let mut info = [0u8; 128];
        call(libc::SYS_rt_sigqueueinfo, [victim, 0, bytes(&mut info), 0, 0])
    });
    attacker.harmful("raise the priority", || call(libc::SYS_setpriority, [0, 0, -20, 0, 0]));
    attacker.harmful("real time", || {
        let mut priority = [1i32];
        call(libc::SYS_sched_setscheduler, [0, 1, bytes(&mut priority), 0, 0])
    });
    attacker.harmful("another's processors", || {
        let mut set = [1u64];
        call(libc::SYS_sched_setaffinity, [victim, 8, bytes(&mut set), 0, 0])
    });
    for (name, resource) in
        [("core files", 4), ("locked memory", 8), ("message queues", 12), ("open files", 7)]
    {
        attacker.harmful(&format!("raise the limit of {name}"), || {
            let mut limit = [u64::MAX, u64::MAX];
            call(libc::SYS_prlimit64, [0, resource, bytes(&mut limit), 0, 0])
        });
    }
    attacker
        .harmful("survive the shim", || call(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG.into(), 0, 0, 0, 0]));
}

fn namespaces(attacker: &mut Attacker) {
    for (name, flag) in [
        ("user", CLONE_NEWUSER),
        ("mount", CLONE_NEWNS),
        ("network", CLONE_NEWNET),
        ("pid", CLONE_NEWPID),
        ("ipc", CLONE_NEWIPC),
        ("uts", CLONE_NEWUTS),
        ("cgroup", CLONE_NEWCGROUP),
        ("time", CLONE_NEWTIME),
    ] {
        attacker.harmful(&format!("unshare: {name}"), || call(libc::SYS_unshare, [flag.into(), 0, 0, 0, 0]));
        attacker.harmful(&format!("clone into a new namespace: {name}"), || {
            fork(libc::SYS_clone, [i64::from(flag | SIGCHLD), 0, 0, 0, 0])
        });
    }
    attacker.harmful("clone3 into a user namespace", || {
        let mut args = [CLONE_NEWUSER as u64, 0, 0, 0, SIGCHLD as u64, 0, 0, 0];
        fork(libc::SYS_clone3, [bytes(&mut args), 64, 0, 0, 0])
    });
    attacker.harmful("join a namespace", || call(libc::SYS_setns, [3, 0, 0, 0, 0]));
    attacker.harmless("make a process", || fork(libc::SYS_clone, [i64::from(SIGCHLD), 0, 0, 0, 0]));
}
