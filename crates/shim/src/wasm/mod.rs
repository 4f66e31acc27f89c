//! From a container to compiled code: which Wasm it is, and the cache of what it compiles to.

mod cache;
mod compiler;
mod lineage;
mod source;

pub use cache::{Cache, Code};
pub use lineage::{Content, with_config};
pub use source::{ImageFacts, Source, architecture, facts, find, native_content};
