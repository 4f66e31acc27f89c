//! What goes wrong between us and a registry, as one sentence each.

use std::io;
use std::path::{Path, PathBuf};

use image::ImageError;

use crate::reference::ReferenceError;

/// A sentence for the person who pushes or pulls. What a registry says of its own is in it, escaped and shortened.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Reference(#[from] ReferenceError),

    #[error("{path} cannot be used: {why}")]
    File { path: PathBuf, why: String },

    #[error("{registry} cannot be reached: {why}")]
    Unreachable { registry: String, why: String },

    #[error("{registry} lost the connection again and again while {what}: {why}")]
    Lost { registry: String, what: String, why: String },

    #[error("{registry} asks to wait {seconds} s before {what}: try again later")]
    Busy { registry: String, what: String, seconds: u64 },

    #[error("{registry} answers {status} to {what}{why}")]
    Status { registry: String, what: String, status: u16, why: String },

    #[error("{registry} refuses {what}{why}: {cure}")]
    Unauthorized { registry: String, what: String, why: String, cure: String },

    #[error("the credentials for {registry} cannot be read: {why}")]
    Credentials { registry: String, why: String },

    #[error("{what} is not in {registry}")]
    NotFound { registry: String, what: String },

    #[error("{registry} is not to be trusted with {what}: {why}")]
    Hostile { registry: String, what: String, why: String },

    #[error("{what}: {why}")]
    Image { what: String, why: ImageError },

    #[error(
        "{reference} exists with the digest {present}, which differs from this image's {ours}: a published version \
         never changes, publish under a new one"
    )]
    Exists { reference: String, present: image::Digest, ours: image::Digest },

    #[error("{repository} has no version that satisfies {requirement}, only {found}")]
    NoVersion { repository: String, requirement: String, found: String },

    #[error("{0}")]
    Refused(String),
}

impl RegistryError {
    /// A file or folder of ours that cannot be read or written.
    pub fn file(path: &Path, error: &io::Error) -> RegistryError {
        RegistryError::File { path: path.to_path_buf(), why: error.to_string() }
    }

    pub(super) fn of_image(what: impl Into<String>) -> impl FnOnce(ImageError) -> RegistryError {
        let what = what.into();
        move |why| RegistryError::Image { what, why }
    }
}

/// Text of a stranger's making, on one line and short.
pub(super) fn tame(text: &str) -> String {
    const MOST: usize = 200;
    image::tame(text.trim(), MOST)
}
