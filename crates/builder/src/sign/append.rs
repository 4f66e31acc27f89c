//! Adding a signature to those that an image has.

use anyhow::{Context, Result, bail};
use image::build::canonical_json;
use image::signature::{ANNOTATION, MEDIA_TYPE, payload, tag};
use image::{Digest, media};
use serde_json::{Value, json};

use super::key::PrivateKey;
use super::present::Present;
use crate::registry::{Client, Reference, Repository};

/// How often a manifest that others write, too, is written again.
const ROUNDS: usize = 5;

/// The most signatures of an image. Cosign reads no more than 1000.
const MAX_SIGNATURES: usize = 1000;

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    pub image: Digest,
    /// The tag of its signatures.
    pub signatures: Reference,
    /// Whether this key had signed it before.
    pub was_there: bool,
}

/// Signs what `reference` leads to now. Other signatures stay; one by this key that is there already is enough.
///
/// # Errors
/// A sentence that names the reference.
pub async fn sign(client: &Client, reference: &Reference, key: &PrivateKey) -> Result<Signed> {
    let repository = reference.repository();
    let image = client.manifest(reference).await?.descriptor.digest;
    let payload = payload(&image, &repository.to_string());
    let signatures = repository.tagged(&tag(&image))?;
    let mut signature = None;
    // The registry has no «only if unchanged»: whose signature was overwritten by another writer adds it again.
    for round in 0..=ROUNDS {
        let present = Present::read(client, repository, &image).await?;
        if present.as_ref().is_some_and(|present| present.has(&payload, key.public(), &image)) {
            return Ok(Signed { image, signatures, was_there: round == 0 });
        }
        if round == ROUNDS {
            break;
        }
        let text = match &signature {
            Some(text) => text,
            None => signature.insert(key.sign(&payload)?),
        };
        let (layers, annotations) = match &present {
            Some(present) => all(present)?,
            None => (Vec::new(), None),
        };
        if layers.len() >= MAX_SIGNATURES {
            bail!(
                "{signatures} has {} signatures, which is the limit: delete that tag and sign again",
                layers.len()
            );
        }
        let digests = present.map(|present| present.layers()).unwrap_or_default();
        let added = added(client, repository, &payload, text).await?;
        let manifest = manifest(client, repository, digests, layers, annotations, added).await?;
        client.put_manifest(&signatures, media::OCI_MANIFEST, canonical_json(manifest).into()).await?;
    }
    bail!("{signatures} is written by others again and again: try again later")
}

/// The layers as they were written, with all annotations, and the annotations of the manifest.
fn all(present: &Present) -> Result<(Vec<Value>, Option<Value>)> {
    let context = || format!("{} cannot be read", present.reference);
    let mut manifest: Value = serde_json::from_slice(&present.bytes).with_context(context)?;
    let layers = match manifest.get_mut("layers").map(Value::take) {
        Some(Value::Array(layers)) => layers,
        _ => Vec::new(),
    };
    let annotations = manifest.get_mut("annotations").map(Value::take).filter(Value::is_object);
    Ok((layers, annotations))
}

/// Sends the payload, and answers its descriptor with the signature.
async fn added(
    client: &Client,
    repository: &Repository,
    payload: &[u8],
    signature: &str,
) -> Result<(Digest, Value)> {
    let blob = client.put_bytes(repository, MEDIA_TYPE, payload.to_vec()).await?;
    let descriptor = json!({
        "mediaType": MEDIA_TYPE,
        "digest": blob.digest.to_string(),
        "size": blob.size,
        "annotations": { ANNOTATION: signature },
    });
    Ok((blob.digest, descriptor))
}

/// A manifest whose config names its layers: cosign finds the layers to keep by that.
async fn manifest(
    client: &Client,
    repository: &Repository,
    mut digests: Vec<Digest>,
    mut layers: Vec<Value>,
    annotations: Option<Value>,
    (digest, layer): (Digest, Value),
) -> Result<Value> {
    digests.push(digest);
    layers.push(layer);
    let config = json!({
        "architecture": "",
        "config": {},
        "os": "",
        "rootfs": { "type": "layers", "diff_ids": digests },
    });
    let config = client.put_bytes(repository, media::OCI_CONFIG, canonical_json(config)).await?;
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "config": {
            "mediaType": media::OCI_CONFIG,
            "digest": config.digest.to_string(),
            "size": config.size,
        },
        "layers": layers,
    });
    if let (Some(map), Some(annotations)) = (manifest.as_object_mut(), annotations) {
        map.insert("annotations".into(), annotations);
    }
    Ok(manifest)
}
