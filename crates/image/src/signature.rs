//! Signatures of images by a key, in cosign's form («simple signing»): what is signed, where it is kept, whether it holds.
//!
//! A signature is of a small statement, the payload, that names the image's digest. Payloads are the layers of a manifest under
//! a tag that is made of that digest; each layer's annotation is the signature. [`verify`] is the one place that decides,
//! whoever fetched the bytes. What a payload says is read only after its signature held.

mod bundle;
mod fault;
mod key;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::json;

pub use self::bundle::{BUNDLE, verify_bundle};
pub use self::fault::Fault;
pub use self::key::{KeyError, PublicKey};
use crate::build::canonical_json;
use crate::{Descriptor, Digest, Manifest};

/// The media type of a payload.
pub const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The annotation of a payload's descriptor with the signature, in base64.
pub const ANNOTATION: &str = "dev.cosignproject.cosign/signature";

/// The largest payload or bundle that is read, in bytes.
pub const MAX_PAYLOAD: u64 = 64 << 10;

/// The longest signature that is decoded, in characters. One of ECDSA P-256 has at most 96.
const MAX_SIGNATURE: usize = 1024;

/// What a payload says that it is.
const KIND: &str = "cosign container image signature";

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub image: Digest,
    /// The repository that the image was in when it was signed. An image keeps its signature when it moves, so this decides
    /// nothing.
    pub repository: String,
}

/// The tag, in the image's own repository, of the manifest with its signatures.
pub fn tag(image: &Digest) -> String {
    format!("sha256-{}.sig", image.hex())
}

/// The statement to sign for an image.
pub fn payload(image: &Digest, repository: &str) -> Vec<u8> {
    canonical_json(json!({
        "critical": {
            "identity": { "docker-reference": repository },
            "image": { "docker-manifest-digest": image.to_string() },
            "type": KIND,
        },
        "optional": null,
    }))
}

/// The payloads of a manifest of signatures, with the signature of each in base64.
pub fn signatures(manifest: &Manifest) -> impl Iterator<Item = (&Descriptor, &str)> {
    manifest
        .layers
        .iter()
        .filter(|layer| layer.media_type == MEDIA_TYPE)
        .filter_map(|layer| Some((layer, layer.annotations.get(ANNOTATION)?.as_str())))
}

/// Whether `signature` (base64 of an ASN.1 ECDSA signature over SHA-256) is `key`'s, of `payload`, and `payload` is about `image`.
///
/// # Errors
/// The [`Fault`] that was found.
pub fn verify(payload: &[u8], signature: &str, key: &PublicKey, image: &Digest) -> Result<Statement, Fault> {
    let signature = Some(signature.trim()).filter(|text| text.len() <= MAX_SIGNATURE);
    let bytes = signature.and_then(|text| BASE64_STANDARD.decode(text).ok()).ok_or(Fault::AnotherKey)?;
    if payload.len() as u64 > MAX_PAYLOAD || !key.has_signed(payload, &bytes) {
        return Err(Fault::AnotherKey);
    }
    let statement = read(payload).map_err(Fault::NoStatement)?;
    if statement.image != *image {
        return Err(Fault::AnotherImage(statement.image));
    }
    Ok(statement)
}

/// The first that holds of an image's signatures: payloads with their signatures in base64.
///
/// # Errors
/// The gravest [`Fault`] of all of them; [`Fault::Unsigned`] when there is no signature.
pub fn verify_any<'a>(
    signed: impl IntoIterator<Item = (&'a [u8], &'a str)>,
    key: &PublicKey,
    image: &Digest,
) -> Result<Statement, Fault> {
    let mut worst = Fault::Unsigned;
    for (payload, signature) in signed {
        match verify(payload, signature, key, image) {
            Ok(statement) => return Ok(statement),
            Err(fault) => worst = worst.max(fault),
        }
    }
    Err(worst)
}

fn read(payload: &[u8]) -> Result<Statement, String> {
    let raw: Raw = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    if raw.critical.kind != KIND {
        return Err(format!("its type is «{}»", raw.critical.kind.escape_debug()));
    }
    let image = raw.critical.image.digest.parse().map_err(|error: crate::ImageError| error.to_string())?;
    Ok(Statement { image, repository: raw.critical.identity.reference })
}

#[derive(Deserialize)]
struct Raw {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

#[cfg(test)]
mod tests;
