//! `run-wasm-node`: brings run-wasm to a node and takes it away again. The planner (`plan`) decides without touching anything,
//! `carry` does what it decided, and whatever happens on the way the node ends as it was or as it shall be.
//!
//! Results go to stdout, what is being done to stderr. Exit code 1 is an error told in a sentence, 2 is wrong usage.

mod agent;
mod carry;
mod checks;
mod cli;
mod containerd;
pub mod distro;
mod inside;
mod look;
pub mod model;
mod node;
pub mod paths;
pub mod plan;
pub mod show;
mod verify;

pub use cli::Cli;

/// `say!("…")`: tells what is being done, on stderr.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { eprintln!($($text)*) };
}
