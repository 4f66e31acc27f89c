//! Whether an image is signed.

use anyhow::{Result, anyhow};
use image::Digest;
use image::signature::{Fault, PublicKey};

use super::present::Present;
use crate::registry::{Client, Reference};

/// An image with a signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was signed: run this, and not what the tag leads to later.
    pub image: Digest,
    /// The repository that it was in when it was signed.
    pub signed_in: String,
}

/// Whether the image that `reference` leads to is signed by `key`, which is called `key_name` in errors.
///
/// # Errors
/// A sentence that names the reference, the key and the cure.
pub async fn verify(
    client: &Client,
    reference: &Reference,
    key: &PublicKey,
    key_name: &str,
) -> Result<Verified> {
    let image = client.manifest(reference).await?.descriptor.digest;
    let verdict = match Present::read(client, reference.repository(), &image).await? {
        Some(present) => present.verify(client, key, &image).await?,
        None => Err(Fault::Unsigned),
    };
    match verdict {
        Ok(statement) => Ok(Verified { image, signed_in: statement.repository }),
        Err(fault) => Err(anyhow!(fault.sentence(&reference.to_string(), key_name))),
    }
}
