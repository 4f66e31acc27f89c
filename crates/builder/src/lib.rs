//! From a project's folder to an image in a registry: everything of the builder that reads files, runs build commands and talks
//! to registries. What bytes mean is `crates/image`'s, which has none of that and which the shim links, too.
//!
//! Without the feature `registry` there is what needs no network: projects, and the names of images and versions.

pub mod project;
pub mod reference;
#[cfg(feature = "registry")]
pub mod registry;
#[cfg(feature = "registry")]
pub mod sbom;
#[cfg(feature = "registry")]
pub mod sign;
pub mod versions;
pub mod wasm;
pub mod whole;
