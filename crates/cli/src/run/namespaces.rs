//! The namespaces of a local run. The kernel ends all that is in them when their first process ends, and takes away what was mounted:
//! nothing of a run outlives it, however it ends.
//!
//! Whoever is not root becomes the master of a user namespace in which nobody but this user is, under the number that the shim
//! knows as nobody's (65534): as that its compilers run, and its hosts as whom the spec says, which is the same. Whoever is in
//! there has all capabilities over these namespaces, and none beyond the user's own rights.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{getegid, geteuid, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set, set_capabilities,
};

/// Who runs things in a user namespace.
pub const NOBODY: u32 = 65534;

/// Folders that every Linux has and few use: one of them is covered, in the run's own mount namespace, by what the run keeps.
const SPARE: [&str; 4] = ["/mnt", "/media", "/srv", "/opt"];

/// Where shims keep their records. Those of a run are nobody's business but its own.
const RECORDS: &str = "/run/run-wasm";

/// What the namespaces are like.
#[derive(Debug, clap::Args)]
pub struct Wanted {
    /// Where the run keeps its files.
    #[arg(long)]
    state: PathBuf,
    /// In a network of its own, which has a loopback device and nothing else.
    #[arg(long)]
    own_network: bool,
}

/// A folder to keep things in that is, and is above, none of `used`, which are paths without links.
pub fn spare_folder(used: &[&Path]) -> Result<PathBuf> {
    let is_spare = |folder: &PathBuf| folder.is_dir() && !used.iter().any(|path| path.starts_with(folder));
    let mut there = SPARE.into_iter().filter_map(|folder| Path::new(folder).canonicalize().ok());
    there.find(is_spare).with_context(|| {
        format!(
            "a run needs one of {} for itself, and its volumes and programs are in all that there are: make one of the others",
            SPARE.join(", ")
        )
    })
}

impl Wanted {
    /// Makes the namespaces, and waits for `command` in them, whose first process it is.
    pub fn enter(&self, mut command: Command) -> Result<ExitCode> {
        // They are for the guest, and whoever called us tells it. Those that would stop us would not stop the guest.
        use Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN};
        SigSet::from_iter([SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP, SIGTTIN]).thread_block()?;
        self.unshare()?;
        // Other credentials may have cleared an earlier one.
        set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        self.mount()?;
        if self.own_network {
            loopback_up().context("cannot start the loopback device of the run's network")?;
        }
        let status = command.spawn().and_then(|mut child| child.wait()).context("cannot start the run")?;
        let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
    }

    fn unshare(&self) -> Result<()> {
        let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC;
        if self.own_network {
            flags |= CloneFlags::CLONE_NEWNET;
        }
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        if uid == 0 {
            return unshare(flags).context(
                "this root may make no namespaces (it lacks CAP_SYS_ADMIN): run as an ordinary user",
            );
        }
        unshare(flags | CloneFlags::CLONE_NEWUSER).map_err(|error| forbidden(&error.into()))?;
        let maps = [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("{NOBODY} {uid} 1")),
            ("gid_map", format!("{NOBODY} {gid} 1")),
        ];
        for (file, text) in maps {
            fs::write(format!("/proc/self/{file}"), text).map_err(|error| forbidden(&error))?;
        }
        // A program that is not uid 0 has those capabilities alone that are ambient.
        let own = capabilities(None)?;
        set_capabilities(None, CapabilitySets { inheritable: own.permitted, ..own })?;
        let all = CapabilitySet::all().iter().filter(|one| own.permitted.contains(*one));
        for capability in all {
            configure_capability_in_ambient_set(capability, true)?;
        }
        Ok(())
    }

    fn mount(&self) -> Result<()> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).map_err(|error| forbidden(&error.into()))?;
        tmpfs(&self.state).map_err(|error| forbidden(&error))?;
        // An ordinary user cannot make it, and then nobody can write records there.
        if geteuid().as_raw() == 0 {
            drop(fs::create_dir_all(RECORDS));
        }
        if Path::new(RECORDS).is_dir() {
            tmpfs(Path::new(RECORDS)).with_context(|| format!("cannot cover {RECORDS}"))?;
        }
        Ok(())
    }
}

/// To be called by the first process of the new pid namespace.
pub fn mount_proc() -> Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None).context(
        "cannot mount /proc for the run: in a container whose /proc is masked nobody may, run it outside or in a privileged one",
    )
}

fn tmpfs(at: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("tmpfs", at, "tmpfs", flags, Some(c"mode=755"))?)
}

fn forbidden(error: &io::Error) -> anyhow::Error {
    anyhow!(
        "this machine lets ordinary users make no namespaces ({error}): run it as root, or have an administrator allow them \
         (sysctl user.max_user_namespaces above 0, kernel.apparmor_restrict_unprivileged_userns=0 where it exists)"
    )
}

/// Sets the first device of this network namespace, which is the loopback's, up (rtnetlink(7)).
fn loopback_up() -> Result<()> {
    const NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 5;
    const UP: u32 = 1;
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut message = Vec::new();
    // struct nlmsghdr: length, type, flags, number, port.
    message.extend(32u32.to_ne_bytes());
    message.extend(NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([1u32, 0].map(u32::to_ne_bytes).concat());
    // struct ifinfomsg: family and type, index, flags, which of them to change.
    message.extend([0u32, 1, UP, UP].map(u32::to_ne_bytes).concat());
    rustix::net::send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 64];
    rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    match answer.get(16..20).and_then(|code| <[u8; 4]>::try_from(code).ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code).into()),
        None => bail!("the kernel answers nonsense"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_that_is_covered_holds_nothing_that_is_used() {
        let first = spare_folder(&[]).unwrap();
        let below = first.join("data/x");
        assert!(spare_folder(&[&below]).map_or(true, |folder| folder != first));
        let all: Vec<&Path> = SPARE.iter().map(Path::new).collect();
        assert!(spare_folder(&all).unwrap_err().to_string().contains("/mnt, /media"));
    }
}
