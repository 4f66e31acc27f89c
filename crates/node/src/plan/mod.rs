//! Decides what is done to a node. Pure: what was found goes in, a list of changes comes out, and golden files in `tests/golden`
//! show it for each distribution.

mod edit;
pub mod imports;
mod install;
mod node_config;
pub mod runtimes;
mod target;
mod template;
mod uninstall;

pub use install::install;
pub use node_config::check as check_node_config;
pub use target::DROP_IN;
pub use template::path as template;
pub use uninstall::{uninstall, without_ours};
