//! Whether an image is signed.

use anyhow::{Result, anyhow};
use image::signature::{BUNDLE, Fault, MAX_PAYLOAD, PublicKey, verify_bundle};
use image::{Digest, Document, manifest};

use super::present::Present;
use crate::registry::{Client, Reference, Repository};

/// The most bundles of an image that are looked at.
const MAX_BUNDLES: usize = 100;

/// An image with a signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was signed: run this, and not what the tag leads to later.
    pub image: Digest,
    /// The repository that it was in when it was signed; bundles do not tell.
    pub signed_in: Option<String>,
}

/// Whether the image that `reference` leads to is signed by `key`, which is called `key_name` in errors. Signatures in both of
/// cosign's forms count.
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
    let repository = reference.repository();
    let verdict = match Present::read(client, repository, &image).await? {
        Some(present) => present.verify(client, key, &image).await?,
        None => Err(Fault::Unsigned),
    };
    let verdict = match verdict {
        Ok(statement) => Ok(Some(statement.repository)),
        Err(fault) => match bundled(client, repository, key, &image).await? {
            Ok(()) => Ok(None),
            Err(other) => Err(fault.max(other)),
        },
    };
    match verdict {
        Ok(signed_in) => Ok(Verified { image, signed_in }),
        Err(fault) => Err(anyhow!(fault.sentence(&reference.to_string(), key_name))),
    }
}

/// The same by the bundles that refer to the image.
async fn bundled(
    client: &Client,
    repository: &Repository,
    key: &PublicKey,
    image: &Digest,
) -> Result<Result<(), Fault>> {
    let mut worst = Fault::Unsigned;
    for referrer in client.referrers(repository, image, Some(BUNDLE)).await?.iter().take(MAX_BUNDLES) {
        let found = client.manifest(&repository.with_digest(referrer.digest)).await?;
        let Document::Manifest(manifest) = manifest::parse(&found.bytes, &found.descriptor.media_type)?
        else {
            continue;
        };
        // What is too large to be a bundle is no signature of anybody.
        for layer in
            manifest.layers.iter().filter(|layer| layer.media_type == BUNDLE && layer.size <= MAX_PAYLOAD)
        {
            let bundle = client.small_blob(repository, layer, MAX_PAYLOAD).await?;
            match verify_bundle(&bundle, key, image) {
                Ok(()) => return Ok(Ok(())),
                Err(fault) => worst = worst.max(fault),
            }
        }
    }
    Ok(Err(worst))
}
