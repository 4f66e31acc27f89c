//! The private protocol between a shim and its hosts.
//!
//! One `SOCK_SEQPACKET` pair per host, one JSON message per packet, file descriptors beside it (`SCM_RIGHTS`).
//! The shim trusts nothing that comes back: a host may have been taken over by its guest, so replies are small,
//! carry no descriptors and are bounded before they are parsed.

mod channel;
mod denial;
mod served;
mod traced;

pub use channel::{Channel, MAX_PACKET};
pub use denial::{Counts, Denial, Kind};
pub use served::{LATENCIES, Served};
pub use traced::Traced;

use grants::{Cpu, Grants};
use serde::{Deserialize, Serialize};

use crate::engine::Build;
use crate::jail::Jail;
use crate::link::Parts;

/// The number under which a host finds its end of the control channel.
pub const CONTROL_FD: i32 = 3;

/// What the shim asks of a host, in the order in which a container's life asks it.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Give up everything that the container must not have. Descriptors: the network namespace, when `netns` says so; the
    /// mount namespace of the container's host, when `mounts` says so; for a host of many, the page of its
    /// [`tags`](crate::tenants::tags).
    Enter { jail: Jail, netns: bool, mounts: bool, role: Role },
    /// Load a container. Descriptors, in this order: a memfd with a [`Payload`] as JSON, then those of stdin, stdout and
    /// stderr that [`Stdio`] names, then, where `roots` says so, a file with the certificates that the node trusts.
    /// What is `beside` a container, of many, is another process of that: it has its memory, CPU and pauses.
    Launch { id: String, place: Place, stdio: Stdio, roots: bool, beside: Option<String> },
    /// Run the container that was launched under this id. Descriptors: the listener of one that serves, if `listener` says so.
    Start { id: String, listener: bool },
    /// Have a container that serves take no more requests, answer those that it has, and end.
    Drain { id: String },
    /// End a container, of many, at once. Answered by its exit.
    Kill { id: String },
    /// Hold a container, of many, until it is resumed.
    Pause { id: String, paused: bool },
    /// Other limits: bytes of memory, and among many the CPU's.
    Resize { id: String, memory: Option<u64>, cpu: Cpu },
    /// Tell what a container, of many, has used.
    Measure { id: String },
    /// Tell what a container that serves has done.
    Count { id: String },
    /// Tell that the host is well; asked of hosts of many.
    Ping,
    /// Compile. Descriptors: the Wasm to read, the file to write. What consists of `parts` is linked first. Answered like a launch,
    /// and asked of compilers only.
    Compile { build: Build, parts: Option<Parts> },
}

/// What a child process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    Compiler,
    /// The host of one container.
    Alone,
    /// The host of a trust group's containers, of at most so many at a time.
    Group {
        seats: u32,
    },
    /// It runs nothing: its namespaces are those of a pod's native containers.
    Holder,
}

/// Where a container stands in its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Under which id its code is found: [`container_dir`]`/code`. Containers of one code may share it.
    pub code: String,
    /// Under which id its files are found: [`container_dir`]`/root` is the guest's `/`.
    pub root: String,
    /// Who it is to the kernel's questions about sockets; not 0. Of no use to a host of one.
    pub tag: u32,
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
    /// The jail is closed. `missing` names its parts that this kernel lacks; `sockets` is the number of the descriptor by
    /// which the kernel asks for sockets on this host's behalf, where somebody else makes them.
    Jailed { missing: Vec<String>, sockets: Option<i32> },
    /// The container is loaded and linked; `Start` runs it. What `serves` is to be started with a listener.
    Ready { id: String, serves: bool },
    /// The container cannot run. `stale` asks for the code to be compiled anew.
    Refused { id: String, message: String, stale: bool },
    /// The container was denied a call; it goes on.
    Denied { id: String, denial: Denial },
    /// What the container has used.
    Used { id: String, usage: Usage },
    /// What the container, which serves, has done so far.
    Served { id: String, served: Box<Served> },
    /// Requests that the container, which serves, has answered and whose clients trace them: at most [`Traced::MOST`].
    Traced { id: String, spans: Vec<Traced> },
    /// The host is well, or the container that it cannot get away from.
    Well { stuck: Option<String> },
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

/// What a container of many has used, by its host's own accounting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Nanoseconds of CPU.
    pub cpu: u64,
    /// Bytes: linear memories, and what the host keeps for it.
    pub memory: u64,
    pub memory_peak: u64,
    /// CPU periods: all in which it ran, those in which it had to wait, and nanoseconds waited.
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled: u64,
}

/// Where a container's mounts stand in its host's mount namespace: `<dir>/root` is the guest's `/`, `<dir>/code` the
/// compiled component.
pub fn container_dir(id: &str) -> std::path::PathBuf {
    std::path::Path::new(crate::jail::CONTAINERS).join(id)
}
