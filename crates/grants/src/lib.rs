//! What a pod spec gives a guest: (OCI runtime spec + annotations + node policy) -> [`Grants`].
//!
//! Pure: no I/O, no clock, no async. Nothing is ambient: what the spec does not give, the guest does not have. What it
//! asks for and cannot have is an error with the place, the offending part and the cure.
//!
//! # Verdicts on the fields of a spec
//!
//! | field of config.json | verdict |
//! |---|---|
//! | `process.args`, `env`, `cwd`, `terminal` | honoured |
//! | `process.user` uid, gid, additionalGids, umask | honoured: identity of the host process |
//! | `process.rlimits` | `RLIMIT_NOFILE` honoured; others without effect |
//! | `process.capabilities`, `noNewPrivileges`, `apparmorProfile`, `selinuxLabel`, `oomScoreAdj`, `scheduler`, `ioPriority` | without effect on the guest: its host process has no capability and a stricter jail |
//! | `root.path`, `root.readonly` | honoured |
//! | `mounts` of type bind and tmpfs | honoured; see [`Grants::dropped`] for those that a guest does not get |
//! | `mounts` of type proc, sysfs, cgroup, mqueue, devpts; all at or below `/dev` | dropped: nothing there is of use to Wasm |
//! | `mounts` of another type, at `/`, with `..`, id-mapped, with mount propagation | refused |
//! | `linux.namespaces` | network honoured ([`network_namespace`]); user refused; others without effect: the host has its own |
//! | `linux.resources.memory.limit`, `cpu.{quota,period,shares}` | honoured, bounded by the node |
//! | `linux.resources`, the rest; `linux.cgroupsPath` | the cgroup's matter, not a grant |
//! | `linux.devices`, `resources.devices`, privileged | without effect: a guest has no way to open a device |
//! | `linux.seccomp`, `maskedPaths`, `readonlyPaths`, `sysctl`, `rootfsPropagation`, `mountLabel` | without effect: the guest makes no system call and sees no `/proc` |
//! | `hooks`, `hostname`, `domainname` | give the guest nothing; not read here |
//! | annotations `run.wasm/*` | honoured or refused, each of them |

mod annotations;
mod egress;
mod error;
mod grants;
pub mod identity;
mod limits;
mod listen;
mod mode;
mod mounts;
mod path;
pub mod policy;
mod process;
mod profile;
mod table;
mod tmpfs;
mod transport;
mod units;

pub use egress::{Egress, Rule, RuleError};
pub use error::GrantError;
pub use grants::{Grants, Root, derive};
pub use identity::{
    ContainerType, NetNs, Pod, container_name, container_type, network_namespace, pod, sandbox_id,
};
pub use limits::Cpu;
pub use listen::{Listen, Port};
pub use mode::Mode;
pub use mounts::{DropReason, DroppedMount, Volume, VolumeSource};
pub use policy::{JailPart, Policy, PolicyError};
pub use process::{Entry, User};
pub use profile::{Clock, Profile, Random};
pub use tmpfs::Tmpfs;
pub use transport::Transport;
pub use units::ByteSize;
