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
//! `SHIM_DIR` (with `containerd-shim-run-v2`) and `GUESTS` (with the Wasm). Needs root.

mod cgroup;
mod containerd;
mod environment;
mod events;
mod leaks;
mod nest;
mod patience;
mod run;
mod running;
mod shim;
mod story;
mod tally;
mod terminal;
mod wasi;

pub use containerd::{Containerd, NODES_OWN, Version};
pub use environment::{guest, shim_binary};
pub use events::Events;
pub use nest::{Nest, Process};
pub use patience::{eventually, until};
pub use run::{Outcome, Run};
pub use running::Running;
pub use shim::{Bundle, Generation, Shim};
pub use story::{alone, told};
pub use tally::{Tally, wanted};
pub use wasi::Wasi;
