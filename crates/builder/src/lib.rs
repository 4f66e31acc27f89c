//! From a project's folder to an image in a registry: everything of the builder that reads files, runs build commands and talks
//! to registries. What bytes mean is `crates/image`'s, which has none of that and which the shim links, too.

pub mod project;
pub mod registry;
pub mod sbom;
pub mod sign;
