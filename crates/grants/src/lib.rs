//! What a pod spec gives a guest: (OCI runtime spec + annotations + node policy) -> [`Grants`].
//!
//! Pure: no I/O, no clock, no async. Nothing is ambient: what the spec does not give, the guest does not have. What it
//! asks for and cannot have is an error with the place, the offending part and the cure.
//!
//! [`verdicts`] says what becomes of each field of a spec.

mod annotations;
mod coredump;
mod egress;
mod error;
mod grants;
mod http;
pub mod identity;
mod limits;
mod listen;
mod mode;
mod mounts;
pub mod native;
mod path;
mod plug;
pub mod policy;
mod process;
mod profile;
pub mod signatures;
mod sysctl;
mod table;
mod text;
mod tmpfs;
mod transport;
pub mod trust;
mod units;
pub mod verdicts;

pub use annotations::prewarm;
pub use coredump::CoreDump;
pub use egress::{Answers, Egress, Rule, RuleError, canonical_name};
pub use error::GrantError;
pub use grants::{Grants, Root, derive, mode};
pub use http::Http;
pub use identity::{
    ContainerType, NetNs, Pod, container_name, container_type, network_namespace, pod, sandbox_id,
};
pub use limits::Cpu;
pub use listen::{Listen, Port};
pub use mode::Mode;
pub use mounts::{DropReason, DroppedMount, Volume, VolumeSource, mount_options};
pub use policy::{JailPart, Policy, PolicyError};
pub use process::{Entry, User};
pub use profile::{Clock, Profile, Random};
pub use signatures::{KeySource, SignatureRule};
pub use sysctl::{sysctls, sysctls_beside_the_network};
pub use tmpfs::Tmpfs;
pub use transport::Transport;
pub use trust::TrustGroup;
pub use units::ByteSize;
pub use verdicts::Verdict;
