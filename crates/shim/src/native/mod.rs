//! Native containers: ordinary programs of Linux beside Wasm in a pod, run by the node's OCI runtime.
//!
//! Nothing here decides what a container may do: that is the pod spec's, and the runtime's to enforce, as for any pod of the
//! node. What is decided here is whether a container is native at all ([`recognise`]) and that it lands in its pod's
//! namespaces and in no others ([`namespaces`]).

mod adopted;
mod config;
mod console;
mod container;
mod create;
mod family;
mod holder;
mod namespaces;
mod orphans;
mod pods;
mod process;
mod recognise;
mod room;
mod runtime;

pub use container::{Native, NativeEnd};
pub use create::create;
pub use pods::Pods;
pub use process::Process;
pub use recognise::{Found, recognise};
pub use room::Room;
