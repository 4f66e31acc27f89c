//! What the end-to-end tests are written with: a containerd of each supported version in namespaces of its own, runs
//! that read as a story, the shim without containerd, and a check that nothing stays behind.
//!
//! ```ignore
//! testkit::stories! {
//!     fn a_guest_says_hello(daemon) {
//!         let hello = daemon.run("hello.wasm").outcome()?;
//!         assert_eq!(hello.stdout, "hello from run-wasm\n");
//!     }
//! }
//! ```
//!
//! The environment says what is tested: `CONTAINERD_1_7` and `CONTAINERD_2_1` (folders with `containerd` and `ctr`),
//! `SHIM_DIR` (with `containerd-shim-run-v2`) and `GUESTS` (with the Wasm); for pods `CNI_BIN` (CNI's plugins),
//! `REGISTRY_BIN` (with `docker-registry`) and `BUSYBOX_BIN` (with a static `busybox`). Needs root.

mod caller;
mod cgroup;
pub mod cluster;
mod containerd;
pub mod cri;
mod crowd;
mod dice;
mod environment;
mod events;
mod exec;
mod figures;
pub mod http;
mod leaks;
pub mod metrics;
pub mod mode;
mod native;
mod nest;
mod node;
mod patience;
pub mod peers;
mod pod;
mod registry;
mod run;
mod running;
mod shim;
mod story;
mod tally;
mod terminal;
mod wasi;

pub use caller::{Caller, State};
pub use containerd::{Containerd, NODES_OWN, Version};
pub use cri::refusal;
pub use crowd::{Crowd, Member};
pub use dice::Dice;
pub use environment::{command_line, guest, h2spec, shim_binary};
pub use events::Events;
pub use exec::Exec;
pub use nest::{Nest, Process};
pub use node::Node;
pub use patience::{eventually, until};
pub use pod::{Pod, PodContainer, PodContainerSpec, PodSpec};
pub use registry::Registry;
pub use run::{Outcome, Run};
pub use running::Running;
pub use shim::{Bundle, Generation, Shim};
pub use story::{alone, told, told_on_a_node};
pub use tally::{Tally, tell, wanted};
pub use wasi::Wasi;
