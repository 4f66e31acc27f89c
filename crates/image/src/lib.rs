//! Wasm OCI images, as bytes: what a file is, what an image holds, which layer to run, and how to make an image.
//!
//! Everything here is a function of its arguments. No file, network, clock or environment is read; the callers (shim,
//! CLI, tests) fetch and store. Whatever comes in is taken to be hostile: readers have limits and never panic.

pub mod build;
pub mod component;
pub mod compose;
pub mod config;
pub mod digest;
pub mod entry;
pub mod error;
pub mod inspect;
pub mod manifest;
pub mod media;
pub mod needs;
pub mod signature;
pub mod sniff;

pub use build::{Format, ImageBuilder};
pub use config::ImageConfig;
pub use digest::{Digest, Hasher};
pub use error::{ImageError, tame};
pub use inspect::{Inspection, inspect};
pub use manifest::{Descriptor, Document, Index, Manifest, Platform, WasmImage};
pub use needs::Need;
pub use sniff::{Kind, sniff};
