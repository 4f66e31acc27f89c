//! OCI registries: pull, push, tags, referrers, credentials (OCI Distribution Specification 1.1).
//!
//! A registry is a stranger: everything it sends has a limit and is verified against a digest, every answer is met by one
//! sentence at worst, and what is written, here or there, is whole or not there. A faulty line is borne with: [`Patience`]
//! says how long.
//!
//! This is a client of our own on `reqwest`. The crate `oci-client` (0.18) has the same verbs, but reads manifests without
//! a limit, hides `Retry-After`, never asks again, and restarts an upload or download that breaks.

mod auth;
mod body;
mod client;
mod component;
mod credentials;
mod dependencies;
mod download;
mod error;
mod export;
mod manifests;
mod progress;
mod pull;
mod push;
mod referrers;
mod retry;
mod source;
mod store;
mod tags;
mod tasks;
mod tls;
mod token;
mod upload;

pub use crate::reference::{Reference, ReferenceError, Repository};
pub use crate::versions::{Tagged, best, moved_tags, sorted, versions};
pub use client::{Client, Options};
pub use dependencies::Dependencies;
pub use download::MAX_BLOB;
pub use error::RegistryError;
pub use manifests::Fetched;
pub use progress::{Action, Event, How, Progress, Silent};
pub use pull::{Platforms, Pulled};
pub use referrers::{Attachment, Referrer};
pub use retry::Patience;
pub use source::Source;
pub use store::Store;
pub use tags::{Published, Resolved};
