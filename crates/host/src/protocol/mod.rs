//! The private protocol between a shim and its hosts.
//!
//! One `SOCK_SEQPACKET` pair per host, one JSON message per packet, file descriptors beside it (`SCM_RIGHTS`).
//! The shim trusts nothing that comes back: a host may have been taken over by its guest, so replies are small,
//! carry no descriptors and are bounded before they are parsed.

mod channel;
mod denial;

pub use channel::{Channel, MAX_PACKET};
pub use denial::{Counts, Denial, Kind};

use grants::{Grants, Profile};
use serde::{Deserialize, Serialize};

use crate::jail::Jail;

/// The number under which a host finds its end of the control channel.
pub const CONTROL_FD: i32 = 3;

/// What the shim asks of a host, in the order in which a container's life asks it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Give up everything that the container must not have. Descriptor: the network namespace, when `netns` says so.
    Enter { jail: Jail, netns: bool },
    /// Load a container whose mounts stand under [`container_dir`]. Descriptors, in this order: a memfd with a
    /// [`Payload`] as JSON, then those of stdin, stdout and stderr that [`Stdio`] names, then, where `roots` says so, a
    /// file with the certificates that the node trusts.
    Launch { id: String, stdio: Stdio, roots: bool },
    /// Run the container that was launched under this id.
    Start { id: String },
    /// Compile for guests with this profile. Descriptors: the Wasm to read, the file to write. Answered like a launch,
    /// and asked of compilers only.
    Compile { profile: Profile },
}

/// Which of the standard streams travel with a [`Request::Launch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stdio {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

/// What is too large for a message. The shim writes it from a borrowed `G`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Payload<G = Grants> {
    pub grants: G,
    pub names: NameFiles,
}

/// The pod's files about names, as text. Absent where the pod has none, and where no name is granted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameFiles {
    /// `/etc/resolv.conf`.
    pub resolv_conf: Option<String>,
    /// `/etc/hosts`.
    pub hosts: Option<String>,
}

/// What a host answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The jail is closed. `missing` names its parts that this kernel lacks.
    Jailed { missing: Vec<String> },
    /// The container is loaded and linked; `Start` runs it.
    Ready { id: String },
    /// The container cannot run. `stale` asks for the code to be compiled anew.
    Refused { id: String, message: String, stale: bool },
    /// The container was denied a call; it goes on.
    Denied { id: String, denial: Denial },
    /// The container ended.
    Exited(Exit),
    /// The jail could not be closed: nothing was run.
    Failed { message: String },
}

/// The end of a container, as its host saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    pub id: String,
    /// 0 to 255, as the design's table of ends says.
    pub code: u8,
    /// Why, in words, when the guest did not simply exit: a trap and its backtrace, a limit and its figure.
    pub reason: Option<String>,
    /// The memory limit ended it.
    pub oom: bool,
    /// The reason, if there is one, was written to the container's stderr.
    pub told: bool,
    /// What it was denied.
    pub denied: Counts,
}

/// Where a container's mounts stand in its host's mount namespace: `<dir>/root` is the guest's `/`, `<dir>/code` the
/// compiled component.
pub fn container_dir(id: &str) -> std::path::PathBuf {
    std::path::Path::new(crate::jail::CONTAINERS).join(id)
}
