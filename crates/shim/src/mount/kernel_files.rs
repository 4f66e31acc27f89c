//! File systems that are windows into the kernel: procfs, sysfs and their like. No guest gets one, neither as a volume nor
//! by a mount within a volume, nor by a folder or file of one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grants::{Volume, VolumeSource};
use host::protocol::container_dir;

/// Their names in `/proc/<pid>/mountinfo`.
const KERNELS_OWN: [&str; 19] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "cpuset",
    "resctrl",
    "debugfs",
    "tracefs",
    "securityfs",
    "configfs",
    "pstore",
    "efivarfs",
    "bpf",
    "mqueue",
    "devpts",
    "nsfs",
    "binfmt_misc",
    "fusectl",
    "selinuxfs",
];

/// Looks through all that was attached for a container in its host's mount namespace, where nobody can add to it any more.
/// The node's own table would be too early: a mount may come into a volume until it is cloned.
pub fn refuse_kernel_files(host: i32, id: &str, volumes: &[Volume]) -> Result<()> {
    let table = std::fs::read_to_string(format!("/proc/{host}/mountinfo"))
        .context("cannot look through the host's mounts")?;
    match kernel_file(&table, &container_dir(id).join("root")) {
        None => Ok(()),
        Some((place, kind)) => {
            let whose = volumes.iter().rfind(|volume| place.starts_with(&volume.destination));
            let source = whose.and_then(|volume| match &volume.source {
                VolumeSource::Bind { path, .. } => Some(path.display()),
                VolumeSource::Tmpfs(_) => None,
            });
            bail!(
                "the volume {} brings a file system of the kernel's own ({kind}) to {}, which no guest gets: mount a folder \
                 without it",
                source.map(|source| source.to_string()).unwrap_or_default(),
                place.display()
            )
        }
    }
}

/// The first such mount below `root`: where the guest would see it, and what it is.
fn kernel_file<'a>(table: &'a str, root: &Path) -> Option<(PathBuf, &'a str)> {
    table.lines().find_map(|line| {
        // proc_pid_mountinfo(5): the fifth field is the mount point, the one behind the hyphen the type.
        let (mount, kind) = line.split_once(" - ")?;
        let kind = kind.split(' ').next().filter(|kind| KERNELS_OWN.contains(kind))?;
        let below = Path::new(mount.split(' ').nth(4)?).strip_prefix(root).ok()?;
        Some((Path::new("/").join(below), kind))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_of_the_kernels_is_found_wherever_it_is() {
        let line = |place: &str, kind: &str| {
            format!("36 35 98:0 /sys {place} rw,noatime master:1 - {kind} {kind} rw\n")
        };
        let root = Path::new("/c/one/root");
        let table = [
            line("/c/one/root", "overlay"),
            line("/c/one/code", "ext4"),
            line("/c/one/root/data", "tmpfs"),
            line("/c/other/root/proc", "proc"),
        ]
        .concat();
        assert_eq!(kernel_file(&table, root), None);
        for place in ["", "/data", "/data/in\\040it"] {
            let table = format!("{table}{}", line(&format!("/c/one/root{place}"), "proc"));
            let (found, kind) = kernel_file(&table, root).unwrap();
            assert_eq!((found.to_str().unwrap().trim_end_matches('/'), kind), (place, "proc"));
        }
    }
}
