//! The jail: what a host gives up before it reads the first byte that a pod, an image or a guest controls.
//!
//! A host starts as root in fresh mount, pid, ipc and uts namespaces, single-threaded, and closes the door behind
//! itself: network namespace, empty root, limits, identity, landlock, seccomp. Afterwards a guest that broke out of
//! Wasmtime finds no file but its own mounts, no process but itself, no capability, no way to a new privilege.
//! Nothing here may run after a second thread exists: credentials and filters are per thread.

mod asked;
mod filter;
mod identity;
mod root;
mod ruleset;

use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit,
};
use serde::{Deserialize, Serialize};

pub use root::CONTAINERS;

/// How tight the jail is: everything that differs from container to container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jail {
    /// The identity on the node that the spec's user means.
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub umask: Option<u32>,
    /// Where its sockets come from.
    pub sockets: Sockets,
    /// Limit of open files.
    pub open_files: u64,
    /// The container's OOM score adjustment, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Parts that must hold ("landlock", "seccomp"): their absence is an error and not a note.
    pub require: Vec<String>,
    /// The most address space, in bytes.
    pub memory: Option<u64>,
    /// A compiler process: no containers directory, no network, threads for parallel work.
    pub compiler: bool,
}

/// Nobody: whom no file of the node belongs to.
const NOBODY: u32 = 65534;

impl Jail {
    /// That of a process which works for no pod: nobody's, with no network and nothing but so many open files.
    pub fn nobodys(open_files: u64) -> Jail {
        Jail {
            uid: NOBODY,
            gid: NOBODY,
            groups: Vec::new(),
            umask: None,
            sockets: Sockets::None,
            open_files,
            oom_score_adj: None,
            require: Vec::new(),
            memory: None,
            compiler: false,
        }
    }
}

/// Where the sockets of a host come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sockets {
    /// There are none: the grants open no network at all.
    None,
    /// It makes them itself, in its own network namespace.
    Own,
    /// The kernel asks the shim for each, which makes it where the container's network is (seccomp_unotify(2), with
    /// `SECCOMP_ADDFD_FLAG_SEND` of Linux 5.14).
    Asked,
}

/// A jail that is closed.
#[derive(Debug)]
pub struct Closed {
    /// Parts that the kernel lacks and nobody required.
    pub missing: Vec<String>,
    /// The number of the descriptor by which the kernel asks for sockets, with [`Sockets::Asked`].
    pub sockets: Option<RawFd>,
}

/// Why a jail could not be closed.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    #[error("cannot {step} for the jail: {source}")]
    Step { step: &'static str, source: io::Error },
    #[error("this kernel lacks {part}, which jail.require of the node config asks for")]
    Missing { part: String },
}

pub(crate) fn step<T, E: Into<io::Error>>(step: &'static str, result: Result<T, E>) -> Result<T, JailError> {
    result.map_err(|source| JailError::Step { step, source: source.into() })
}

/// Closes the jail around this process.
///
/// `netns` is the pod's network namespace; without one the process stays in that in which it was born. `mounts` is the mount
/// namespace of a host of the same container, whose jail is this one's, too; without one it makes its own.
pub fn enter(jail: &Jail, netns: Option<OwnedFd>, mounts: Option<OwnedFd>) -> Result<Closed, JailError> {
    if let Some(netns) = netns {
        join_network(netns)?;
    }
    if let Some(score) = jail.oom_score_adj {
        adjust_oom_score(score)?;
    }
    let may_set_groups = identity::may_set_groups();
    match mounts {
        Some(mounts) => root::join(&mounts)?,
        None => root::enter(jail.compiler)?,
    }
    limits(jail)?;
    identity::assume(jail, may_set_groups)?;
    // A change of user cleared it; from here on the filter keeps the process from changing it.
    step("follow the shim's end", set_parent_process_death_signal(Some(Signal::KILL)))?;
    step("hide memory", rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable))?;
    step("forgo new privileges", rustix::thread::set_no_new_privs(true))?;

    let mut missing = Vec::new();
    if !ruleset::restrict(jail.compiler)? {
        missing.push("landlock".to_owned());
    }
    // Before the filter that would not let another be installed.
    let sockets = if jail.sockets == Sockets::Asked { Some(asked::install()?) } else { None };
    if !filter::apply(jail)? {
        missing.push("seccomp".to_owned());
    }
    match missing.iter().find(|part| jail.require.contains(part)) {
        Some(part) => Err(JailError::Missing { part: part.clone() }),
        None => Ok(Closed { missing, sockets }),
    }
}

fn join_network(netns: OwnedFd) -> Result<(), JailError> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    step(
        "join the pod's network namespace",
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)),
    )
}

/// Raising the score is always allowed; lowering it below the parent's needs CAP_SYS_RESOURCE, which a nested
/// containerd may lack: the pod then keeps the score that the shim has.
fn adjust_oom_score(score: i32) -> Result<(), JailError> {
    match std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => step("set the OOM score", other),
    }
}

fn limits(jail: &Jail) -> Result<(), JailError> {
    let fixed = |value| Rlimit { current: Some(value), maximum: Some(value) };
    step("limit core dumps", setrlimit(Resource::Core, fixed(0)))?;
    step("limit locked memory", setrlimit(Resource::Memlock, fixed(0)))?;
    step("limit message queues", setrlimit(Resource::Msgqueue, fixed(0)))?;
    if let Some(memory) = jail.memory {
        step("limit memory", setrlimit(Resource::As, fixed(memory)))?;
    }
    let most = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    step("limit open files", setrlimit(Resource::Nofile, fixed(jail.open_files.min(most))))
}
