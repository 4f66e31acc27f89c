//! The kernel itself: identity, what only an administrator may do, and interfaces with a history of bugs.

use super::super::sys::{bytes, call, text};
use super::Attacker;

/// To its own credentials and to the node.
pub fn attack(attacker: &mut Attacker) {
    identity(attacker);
    interfaces(attacker);
    administration(attacker);
    memory_between_processes(attacker);
}

fn identity(attacker: &mut Attacker) {
    // Somebody else, whoever we are.
    const OTHER: i64 = 1234;
    for (name, number) in
        [("setuid", libc::SYS_setuid), ("setgid", libc::SYS_setgid), ("setfsuid", libc::SYS_setfsuid)]
    {
        attacker.harmful(name, || call(number, [OTHER, 0, 0, 0, 0]));
    }
    attacker.harmful("setresuid", || call(libc::SYS_setresuid, [OTHER, OTHER, OTHER, 0, 0]));
    attacker.harmful("setresgid", || call(libc::SYS_setresgid, [OTHER, OTHER, OTHER, 0, 0]));
    attacker.harmful("setgroups", || call(libc::SYS_setgroups, [0, 0, 0, 0, 0]));
    attacker.harmful("capabilities", || {
        let mut header = [0x2008_0522u32, 0];
        let mut sets = [u32::MAX, u32::MAX, u32::MAX, 0x1ff, 0x1ff, 0x1ff];
        call(libc::SYS_capset, [bytes(&mut header), bytes(&mut sets), 0, 0, 0])
    });
    for (name, option, value) in [
        ("be dumpable", libc::PR_SET_DUMPABLE, 1),
        ("be traced by anybody", libc::PR_SET_PTRACER, -1),
        ("an ambient capability", libc::PR_CAP_AMBIENT, 2),
        ("keep capabilities", libc::PR_SET_KEEPCAPS, 1),
        ("secure bits", libc::PR_SET_SECUREBITS, 0),
        ("adopt orphans", libc::PR_SET_CHILD_SUBREAPER, 1),
    ] {
        attacker.harmful(name, || call(libc::SYS_prctl, [option.into(), value, 0, 0, 0]));
    }
    attacker.harmful("a filter that asks the attacker", || {
        let mut program = [0u64; 2];
        call(libc::SYS_seccomp, [1, 8, bytes(&mut program), 0, 0])
    });
    attacker.harmful("personality", || call(libc::SYS_personality, [0x040_0000, 0, 0, 0, 0]));
}

fn interfaces(attacker: &mut Attacker) {
    let mut room = [0u8; 256];
    let room = bytes(&mut room);
    attacker.harmless("bpf", || call(libc::SYS_bpf, [0, room, 40, 0, 0]));
    attacker.harmless("perf events", || {
        // Type software, size of the structure, the CPU clock.
        let mut event: [u64; 16] = std::array::from_fn(|word| if word == 0 { 1 | 128 << 32 } else { 0 });
        call(libc::SYS_perf_event_open, [bytes(&mut event), 0, -1, -1, 0])
    });
    attacker.harmless("the session's keys", || call(libc::SYS_keyctl, [0, -3, 1, 0, 0]));
    attacker.harmless("a key of one's own", || {
        call(libc::SYS_add_key, [text(c"user"), text(c"run-wasm-attack"), text(c"y"), 1, -1])
    });
    attacker.harmless("a key of another's", || {
        call(libc::SYS_request_key, [text(c"user"), text(c"run-wasm-attack"), 0, -1, 0])
    });
    attacker.harmless("io_uring", || {
        let mut parameters = [0u8; 256];
        call(libc::SYS_io_uring_setup, [4, bytes(&mut parameters), 0, 0, 0])
    });
    attacker.harmless("asynchronous I/O", || {
        let mut context = [0u64];
        call(libc::SYS_io_setup, [1, bytes(&mut context), 0, 0, 0])
    });
    attacker.harmless("userfaultfd", || call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0]));
    attacker.harmless("fanotify", || call(libc::SYS_fanotify_init, [0, 0, 0, 0, 0]));
    attacker.harmless("inotify", || call(libc::SYS_inotify_init1, [0, 0, 0, 0, 0]));
    attacker.harmless("secret memory", || call(libc::SYS_memfd_secret, [0, 0, 0, 0, 0]));
    attacker.harmless("splice", || call(libc::SYS_vmsplice, [2, room, 0, 0, 0]));
    attacker.harmless("a posix timer", || {
        let mut timer = [0i32];
        call(libc::SYS_timer_create, [0, 0, bytes(&mut timer), 0, 0])
    });
    #[cfg(target_arch = "x86_64")]
    attacker.harmless("a local descriptor table", || call(libc::SYS_modify_ldt, [0, room, 256, 0, 0]));
}

fn administration(attacker: &mut Attacker) {
    let mut room = [0u8; 256];
    let room = bytes(&mut room);
    attacker.harmless("the kernel's log", || call(libc::SYS_syslog, [3, room, 256, 0, 0]));
    attacker.harmful("clear the kernel's log", || call(libc::SYS_syslog, [5, 0, 0, 0, 0]));
    attacker.harmful("load a module", || call(libc::SYS_init_module, [room, 0, text(c""), 0, 0]));
    attacker.harmful("load a module from a file", || call(libc::SYS_finit_module, [3, text(c""), 0, 0, 0]));
    attacker.harmful("unload a module", || call(libc::SYS_delete_module, [text(c"x"), 0, 0, 0, 0]));
    attacker.harmful("another kernel", || call(libc::SYS_kexec_load, [0, 0, 0, 0, 0]));
    attacker.harmful("reboot", || call(libc::SYS_reboot, [0xfee1_dead, 672_274_793, 0, 0, 0]));
    attacker.harmful("the host's name", || call(libc::SYS_sethostname, [text(c"x"), 1, 0, 0, 0]));
    attacker.harmful("the domain's name", || call(libc::SYS_setdomainname, [text(c"x"), 1, 0, 0, 0]));
    attacker.harmful("the clock", || {
        let mut time = [1i64, 0];
        call(libc::SYS_clock_settime, [0, bytes(&mut time), 0, 0, 0])
    });
    attacker.harmful("the time of day", || {
        let mut time = [1i64, 0];
        call(libc::SYS_settimeofday, [bytes(&mut time), 0, 0, 0, 0])
    });
    attacker.harmful("the clock's pace", || {
        let mut timex: [u64; 32] = std::array::from_fn(|word| if word == 0 { 0x4000 } else { 0 });
        call(libc::SYS_adjtimex, [bytes(&mut timex), 0, 0, 0, 0])
    });
    attacker.harmful("swap", || call(libc::SYS_swapon, [text(c"/x"), 0, 0, 0, 0]));
    attacker.harmful("no swap", || call(libc::SYS_swapoff, [text(c"/x"), 0, 0, 0, 0]));
    attacker.harmful("accounting", || call(libc::SYS_acct, [0, 0, 0, 0, 0]));
    attacker.harmful("quota", || call(libc::SYS_quotactl, [0, 0, 0, 0, 0]));
    attacker.harmful("hang up the terminal", || call(libc::SYS_vhangup, [0, 0, 0, 0, 0]));
    #[cfg(target_arch = "x86_64")]
    for (name, number) in [("ports", libc::SYS_iopl), ("some ports", libc::SYS_ioperm)] {
        attacker.harmful(name, || call(number, [3, 1, 1, 0, 0]));
    }
}

fn memory_between_processes(attacker: &mut Attacker) {
    attacker.harmless("shared memory", || call(libc::SYS_shmget, [1, 4096, 0o1600, 0, 0]));
    attacker.harmless("semaphores", || call(libc::SYS_semget, [1, 1, 0o1600, 0, 0]));
    attacker.harmless("messages", || call(libc::SYS_msgget, [1, 0o1600, 0, 0, 0]));
    attacker.harmless("a message queue", || {
        call(libc::SYS_mq_open, [text(c"x"), i64::from(libc::O_CREAT | libc::O_RDWR), 0o600, 0, 0])
    });
}
