//! The files behind a container's network: what the pod's own say about names, and whom the node trusts.
//!
//! A host is jailed and sees none of them. It gets the pod's as text and the node's as a descriptor, and only where the
//! grants have a use for them.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use grants::{Grants, User};
use host::protocol::NameFiles;
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, fstatfs, openat};

/// The largest file that is read, in bytes: kubelet's are a few hundred.
const LARGEST: u64 = 256 << 10;

/// `f_type` of the file systems that are windows into the kernel (`<linux/magic.h>`): procfs, sysfs, cgroup v1 and v2,
/// debugfs, tracefs, securityfs, bpf.
const KERNELS_OWN: [i64; 8] =
    [0x9fa0, 0x6265_6572, 0x0027_e0eb, 0x6367_7270, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0xcafe_4a11];

/// Where distributions keep the roots that their administrators trust: Debian, Fedora, openSUSE, Alpine.
const NODE_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The pod's `/etc/resolv.conf` and `/etc/hosts`, where names are granted. `resolv_conf` is for a pod that mounts none.
pub fn names(grants: &Grants, resolv_conf: Option<&Path>) -> Result<NameFiles> {
    if !grants.egress().needs_lookup() {
        return Ok(NameFiles::default());
    }
    let text = |path: Option<&Path>| path.map(|path| read(path, grants.user())).transpose();
    Ok(NameFiles { resolv_conf: text(grants.resolv_conf().or(resolv_conf))?, hosts: text(grants.hosts())? })
}

/// The node's root certificates, where the grants let a guest connect at all. A node may have none.
pub fn roots(grants: &Grants) -> Option<OwnedFd> {
    if grants.egress().is_closed() {
        return None;
    }
    NODE_ROOTS.iter().find_map(|path| File::open(path).ok()).map(OwnedFd::from)
}

/// Reads a file that the pod mounts, as the pod's own user could: this process is root, and a pod may mount anything.
fn read(path: &Path, user: &User) -> Result<String> {
    let text = || -> Result<String> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(CWD, path, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        ensure!(kind == FileType::RegularFile, "it is no regular file ({kind:?})");
        let system = fstatfs(&file)?.f_type as i64;
        ensure!(!KERNELS_OWN.contains(&system), "it is a file of the kernel's own");
        ensure!(may_read(&stat, user), "the user {} of the container may not read it", user.uid);
        let mut text = String::new();
        if File::from(file).take(LARGEST + 1).read_to_string(&mut text)? as u64 > LARGEST {
            bail!("it has more than {LARGEST} bytes");
        }
        Ok(text)
    };
    text().with_context(|| format!("cannot read the pod's {}", path.display()))
}

/// What the kernel would say by owner, group and mode.
fn may_read(stat: &Stat, user: &User) -> bool {
    let granted = |who: u32| stat.st_mode & (0o400 >> who) != 0;
    match user {
        User { uid: 0, .. } => true,
        User { uid, .. } if *uid == stat.st_uid => granted(0),
        User { gid, additional_gids, .. }
            if *gid == stat.st_gid || additional_gids.contains(&stat.st_gid) =>
        {
            granted(3)
        }
        _ => granted(6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uid: u32) -> User {
        User { uid, gid: uid, additional_gids: Vec::new(), umask: 0o022 }
    }

    #[test]
    fn a_file_is_read_by_whom_its_mode_allows() {
        let file = |mode| {
            let mut stat = fstat(tempfile::tempfile().unwrap()).unwrap();
            (stat.st_uid, stat.st_gid, stat.st_mode) = (1000, 2000, mode);
            stat
        };
        let member = User { additional_gids: vec![2000], ..user(3000) };
        let allowed =
            |mode| [user(0), user(1000), member.clone(), user(3000)].map(|user| may_read(&file(mode), &user));
        assert_eq!(allowed(0o100644), [true, true, true, true]);
        assert_eq!(allowed(0o100640), [true, true, true, false]);
        assert_eq!(allowed(0o100600), [true, true, false, false]);
        assert_eq!(allowed(0o100000), [true, false, false, false]);
    }

    #[test]
    fn only_small_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        rustix::fs::mkfifoat(CWD, at("fifo"), Mode::from_raw_mode(0o644)).unwrap();
        File::create(at("huge")).unwrap().set_len(1 << 30).unwrap();
        let cases = [
            (at("fifo"), "no regular file"),
            (at("huge"), "more than"),
            (at("none"), "No such file"),
            ("/proc/version".into(), "the kernel's own"),
        ];
        for (path, why) in cases {
            let error = format!("{:#}", read(&path, &user(0)).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
    }
}
