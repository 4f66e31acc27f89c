//! From a container to compiled code: which Wasm it is, and the cache of what it compiles to.

mod cache;
mod compiler;
mod source;

pub use cache::{Cache, Code};
pub use source::{ImageFacts, Source, architecture, facts, find, image_claims_wasm};
