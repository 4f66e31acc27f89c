//! Files, mounts and devices of the node.

use std::ffi::CString;

use libc::{
    AT_FDCWD, MNT_DETACH, MS_BIND, MS_REMOUNT, O_CREAT, O_DIRECTORY, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE,
    O_WRONLY, S_IFBLK, S_IFCHR,
};

use super::super::sys::{bytes, call, text};
use super::{Attacker, Bait, count};

const HERE: i64 = AT_FDCWD as i64;
const OPEN_TREE_CLONE: i64 = 1;
const AT_RECURSIVE: i64 = 0x8000;

fn open(path: &std::ffi::CStr, flags: i32) -> std::io::Result<i64> {
    call(libc::SYS_openat, [HERE, text(path), i64::from(flags), 0o600, 0])
}

pub fn attack(attacker: &mut Attacker, bait: &Bait) {
    reading(attacker, bait);
    writing(attacker);
    mounting(attacker);
}

fn reading(attacker: &mut Attacker, bait: &Bait) {
    let secret = CString::new(bait.secret.as_str()).unwrap_or_default();
    let upwards = CString::new(format!("../../../../../..{}", bait.secret)).unwrap_or_default();
    attacker.harmless("read a file of the node", || open(&secret, O_RDONLY));
    attacker.harmless("write a file of the node", || open(&secret, O_WRONLY));
    attacker.harmless("see a file of the node", || open(&secret, O_PATH));
    attacker.harmless("go upwards", || open(&upwards, O_RDONLY));
    attacker.harmless("go upwards from a descriptor of the root", || {
        let root = open(c"/", O_PATH | O_DIRECTORY)?;
        call(libc::SYS_openat, [root, text(&upwards), i64::from(O_RDONLY), 0, 0])
    });
    attacker.harmless("openat2 upwards", || {
        let mut how = [O_RDONLY as u64, 0, 0];
        call(libc::SYS_openat2, [HERE, text(&upwards), bytes(&mut how), 24, 0])
    });
    for path in [
        c"/etc/passwd",
        c"/proc",
        c"/proc/self/status",
        c"/proc/1/mem",
        c"/sys",
        c"/run",
        c"/dev",
        c"/tmp",
        c"/var",
        c"/dev/mem",
        c"/dev/kmsg",
        c"/dev/fuse",
        c"/dev/kvm",
        c"/dev/ptmx",
        c"/proc/self/root",
        c"/proc/self/exe",
    ] {
        attacker.harmless(&format!("open {path:?}"), || open(path, O_RDONLY));
    }
    attacker.harmful("write core_pattern", || open(c"/proc/sys/kernel/core_pattern", O_WRONLY));
    attacker.harmful("write uevent_helper", || open(c"/sys/kernel/uevent_helper", O_WRONLY));
    attacker
        .harmful("write a cgroup's release_agent", || open(c"/sys/fs/cgroup/memory/release_agent", O_WRONLY));
    attacker.harmless("a directory among the inherited descriptors", || {
        count((0..1024).map(|fd| call(libc::SYS_openat, [fd, text(c"../../../../etc/passwd"), 0, 0, 0])))
    });
    attacker.harmless("stat a file of the node", || {
        let mut stat = [0u8; 512];
        call(libc::SYS_newfstatat, [HERE, text(&secret), bytes(&mut stat), 0, 0])
    });
    attacker.harmless("open by handle", || {
        let mut handle = [8u32, 1, 2, 0];
        call(libc::SYS_open_by_handle_at, [3, bytes(&mut handle), i64::from(O_RDONLY), 0, 0])
    });
    attacker.harmless("name to handle", || {
        let (mut handle, mut id) = ([128u32; 40], [0i32]);
        call(libc::SYS_name_to_handle_at, [HERE, text(c"/"), bytes(&mut handle), bytes(&mut id), 0])
    });
}

fn writing(attacker: &mut Attacker) {
    let create = O_CREAT | O_WRONLY;
    for folder in ["", "/c", "/dev"] {
        let path = CString::new(format!("{folder}/x")).unwrap_or_default();
        let place = CString::new(format!("{folder}/")).unwrap_or_default();
        attacker.harmful(&format!("create {path:?}"), || open(&path, create));
        attacker.harmful(&format!("mkdir {path:?}"), || {
            call(libc::SYS_mkdirat, [HERE, text(&path), 0o700, 0, 0])
        });
        attacker.harmful(&format!("symlink {path:?}"), || {
            call(libc::SYS_symlinkat, [text(c"/etc"), HERE, text(&path), 0, 0])
        });
        attacker.harmful(&format!("an unnamed file in {place:?}"), || open(&place, O_TMPFILE | O_RDWR));
        for (kind, device) in [(S_IFCHR, 0x101), (S_IFBLK, 0xfe00)] {
            attacker.harmful(&format!("mknod {path:?}"), || {
                call(libc::SYS_mknodat, [HERE, text(&path), i64::from(kind | 0o600), device, 0])
            });
        }
        attacker.harmful(&format!("chmod {place:?}"), || {
            call(libc::SYS_fchmodat, [HERE, text(&place), 0o777, 0, 0])
        });
        attacker
            .harmful(&format!("chown {place:?}"), || call(libc::SYS_fchownat, [HERE, text(&place), 0, 0, 0]));
    }
    attacker.harmful("rename /c", || call(libc::SYS_renameat, [HERE, text(c"/c"), HERE, text(c"/d"), 0]));
    attacker.harmful("rmdir /c", || {
        call(libc::SYS_unlinkat, [HERE, text(c"/c"), i64::from(libc::AT_REMOVEDIR), 0, 0])
    });
    attacker
        .harmful("setxattr", || call(libc::SYS_setxattr, [text(c"/c"), text(c"user.x"), text(c"y"), 1, 0]));
    attacker.harmful("a program from memory", || {
        let memory = call(libc::SYS_memfd_create, [text(c"x"), 0, 0, 0, 0])?;
        let script = c"#!/x\n";
        call(libc::SYS_write, [memory, text(script), 5, 0, 0])?;
        let mut argv = [text(c"x"), 0];
        let argv = bytes(&mut argv);
        call(libc::SYS_execveat, [memory, text(c""), argv, argv, i64::from(libc::AT_EMPTY_PATH)])
    });
    attacker.harmful("a program from a file", || {
        let mut argv = [text(c"sh"), 0];
        let argv = bytes(&mut argv);
        call(libc::SYS_execve, [text(c"/bin/true"), argv, argv, 0, 0])
    });
}

fn mounting(attacker: &mut Attacker) {
    for kind in [c"tmpfs", c"proc", c"sysfs", c"cgroup2", c"devpts", c"overlay"] {
        attacker.harmful(&format!("mount {kind:?}"), || {
            call(libc::SYS_mount, [text(kind), text(c"/c"), text(kind), 0, 0])
        });
        attacker.harmful(&format!("fsopen {kind:?}"), || call(libc::SYS_fsopen, [text(kind), 0, 0, 0, 0]));
    }
    for place in [c"/", c"/c", c"."] {
        attacker.harmful(&format!("remount {place:?} writable"), || {
            call(libc::SYS_mount, [0, text(place), 0, (MS_REMOUNT | MS_BIND) as i64, 0])
        });
        attacker.harmful(&format!("mount_setattr {place:?}"), || {
            let mut attributes = [0u64, 1, 0, 0];
            call(libc::SYS_mount_setattr, [HERE, text(place), 0, bytes(&mut attributes), 32])
        });
        attacker.harmful(&format!("umount {place:?}"), || {
            call(libc::SYS_umount2, [text(place), i64::from(MNT_DETACH), 0, 0, 0])
        });
        attacker.harmful(&format!("open_tree {place:?}"), || {
            call(libc::SYS_open_tree, [HERE, text(place), OPEN_TREE_CLONE | AT_RECURSIVE, 0, 0])
        });
        attacker.harmful(&format!("chroot {place:?}"), || call(libc::SYS_chroot, [text(place), 0, 0, 0, 0]));
        attacker.harmful(&format!("pivot_root {place:?}"), || {
            call(libc::SYS_pivot_root, [text(place), text(place), 0, 0, 0])
        });
        attacker.harmful(&format!("move_mount {place:?}"), || {
            call(libc::SYS_move_mount, [HERE, text(place), HERE, text(c"/c"), 0])
        });
        attacker
            .harmful(&format!("fspick {place:?}"), || call(libc::SYS_fspick, [HERE, text(place), 0, 0, 0]));
    }
}
