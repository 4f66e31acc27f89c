//! The signatures that an image has.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use bytes::Bytes;
use image::signature::{MAX_PAYLOAD, PublicKey, Statement, signatures, tag, verify, verify_any};
use image::{Digest, Document, Manifest, manifest};

use crate::registry::{Client, Reference, Repository};

/// The manifest with the signatures of an image.
#[derive(Debug, Clone)]
pub struct Present {
    /// What it is called.
    pub reference: Reference,
    /// As it was written.
    pub bytes: Bytes,
    manifest: Manifest,
}

impl Present {
    /// What is under the tag; `None` when there is nothing.
    pub async fn read(client: &Client, repository: &Repository, image: &Digest) -> Result<Option<Present>> {
        let reference = repository.tagged(&tag(image))?;
        let Some(found) = client.manifest_if_any(&reference).await? else { return Ok(None) };
        let parsed = manifest::parse(&found.bytes, &found.descriptor.media_type);
        match parsed {
            Ok(Document::Manifest(manifest)) => Ok(Some(Present { reference, bytes: found.bytes, manifest })),
            Ok(Document::Index(_)) => {
                bail!(
                    "{reference} is an index, and signatures are a manifest: delete that tag and sign again"
                )
            }
            Err(why) => bail!("{reference} holds no signatures: {why}"),
        }
    }

    /// Whether this very payload is there, signed by this key.
    pub fn has(&self, payload: &[u8], key: &PublicKey, image: &Digest) -> bool {
        let digest = Digest::of(payload);
        signatures(&self.manifest).any(|(layer, signature)| {
            layer.digest == digest && verify(payload, signature, key, image).is_ok()
        })
    }

    /// The digest of each layer, in order.
    pub fn layers(&self) -> Vec<Digest> {
        self.manifest.layers.iter().map(|layer| layer.digest).collect()
    }

    /// Fetches the payloads and verifies them. `repository` has them.
    ///
    /// # Errors
    /// A sentence that names the image and the key, or the payload that cannot be fetched.
    pub async fn verify(
        &self,
        client: &Client,
        key: &PublicKey,
        image: &Digest,
    ) -> Result<Result<Statement, image::signature::Fault>> {
        let mut payloads: BTreeMap<Digest, Bytes> = BTreeMap::new();
        for (layer, _) in signatures(&self.manifest) {
            // Payloads of several keys are mostly one. What is too large to be one is no signature of anybody.
            if layer.size <= MAX_PAYLOAD && !payloads.contains_key(&layer.digest) {
                let bytes = client.small_blob(self.reference.repository(), layer, MAX_PAYLOAD).await?;
                payloads.insert(layer.digest, bytes);
            }
        }
        let signed = signatures(&self.manifest).map(|(layer, signature)| {
            (payloads.get(&layer.digest).map_or(&[][..], |bytes| bytes), signature)
        });
        Ok(verify_any(signed, key, image))
    }
}
