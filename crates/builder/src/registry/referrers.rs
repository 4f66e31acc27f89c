//! What refers to an image: SBOMs, signatures and the like (OCI 1.1 `subject`), also in registries that do not know of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Method, StatusCode};
use image::build::canonical_json;
use image::manifest::MAX_ENTRIES;
use image::{Descriptor, Digest, media};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Access, Call, Client};
use super::error::RegistryError;
use super::push::document_type;
use super::tags::next_page;
use crate::reference::{Reference, Repository};

/// The config of what has none (OCI image spec 1.1, "Guidance for an empty descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const EMPTY_BYTES: &[u8] = b"{}";

/// The largest list of referrers that is read, in bytes; the most pages of it.
const MAX_LIST: u64 = 4 << 20;
const MAX_PAGES: usize = 100;

/// How often a list that others write, too, is written again.
const ROUNDS: usize = 5;

/// Something to attach to an image.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// What it is: `application/spdx+json`, `application/vnd.dev.cosign.artifact.sig.v1+json`.
    pub artifact_type: String,
    /// Its content, with the media type of each.
    pub layers: Vec<(String, Vec<u8>)>,
    pub annotations: BTreeMap<String, String>,
}

/// A manifest that refers to an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    pub media_type: String,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    #[serde(default)]
    pub artifact_type: String,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct List {
    /// Registries written in Go say `null` of an empty list.
    manifests: Option<Vec<serde_json::Value>>,
}

impl Client {
    /// Attaches something to the image `subject`, which the repository has. The same attachment again changes nothing.
    ///
    /// # Returns
    /// The digest of the attachment's manifest.
    ///
    /// # Errors
    /// A sentence.
    pub async fn attach(
        &self,
        repository: &Repository,
        subject: &Descriptor,
        attachment: Attachment,
    ) -> Result<Digest, RegistryError> {
        let mut blobs: Vec<(String, Vec<u8>)> = vec![(EMPTY.into(), EMPTY_BYTES.to_vec())];
        blobs.extend(attachment.layers);
        let mut descriptors = Vec::new();
        for (media_type, bytes) in blobs {
            descriptors.push(described(&self.put_bytes(repository, &media_type, bytes).await?));
        }
        let layers = descriptors.split_off(1);
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_MANIFEST,
            "artifactType": attachment.artifact_type,
            "config": descriptors.pop(),
            "layers": layers,
            "subject": described(&Descriptor {
                media_type: document_type(subject).into(),
                ..subject.clone()
            }),
        });
        if let (Some(map), false) = (manifest.as_object_mut(), attachment.annotations.is_empty()) {
            map.insert("annotations".into(), json!(attachment.annotations));
        }
        let bytes = Bytes::from(canonical_json(manifest));
        let referrer = Referrer {
            media_type: media::OCI_MANIFEST.into(),
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            artifact_type: attachment.artifact_type,
            annotations: attachment.annotations,
        };
        let reference = repository.with_digest(referrer.digest);
        if !self.put_manifest(&reference, media::OCI_MANIFEST, bytes).await? {
            self.list_by_tag(repository, &subject.digest, &referrer).await?;
        }
        Ok(referrer.digest)
    }

    /// What refers to an image; `artifact_type`: only what is of this type.
    ///
    /// # Errors
    /// A sentence. That nothing refers to it is none.
    pub async fn referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Referrer>, RegistryError> {
        let mut found = match self.referrers_by_api(repository, subject).await? {
            Some(found) => found,
            None => self.referrers_by_tag(repository, subject).await?,
        };
        found.retain(|referrer| artifact_type.is_none_or(|wanted| referrer.artifact_type == wanted));
        Ok(found)
    }

    /// `None` when the registry does not know of referrers.
    async fn referrers_by_api(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Option<Vec<Referrer>>, RegistryError> {
        let mut url = self.url(repository, &format!("referrers/{subject}"))?;
        let mut found = Vec::new();
        for _ in 0..MAX_PAGES {
            let what = format!("the referrers of {repository}@{subject}");
            let call = Call::new(repository, Access::Pull, Method::GET, url.clone(), what.clone())
                .header(ACCEPT, media::OCI_INDEX)?;
            let (headers, bytes) = match self.fetch(&call, MAX_LIST).await {
                Ok(Some(answer)) => answer,
                // Older registries take the address for one that they do not have, or do not allow.
                Ok(None) => return Ok(None),
                Err(RegistryError::Status { status, .. })
                    if [
                        StatusCode::BAD_REQUEST,
                        StatusCode::METHOD_NOT_ALLOWED,
                        StatusCode::NOT_ACCEPTABLE,
                    ]
                    .iter()
                    .any(|code| code.as_u16() == status) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            found.extend(listed(&bytes, repository, &what)?);
            match next_page(&headers, &url) {
                Some(Ok(next)) if found.len() < MAX_ENTRIES => url = next,
                Some(_) => break,
                None => return Ok(Some(found)),
            }
        }
        Err(RegistryError::Hostile {
            registry: repository.registry().into(),
            what: format!("the referrers of {repository}@{subject}"),
            why: "its list does not end, or goes on at another host".into(),
        })
    }

    async fn referrers_by_tag(
        &self,
        repository: &Repository,
        subject: &Digest,
    ) -> Result<Vec<Referrer>, RegistryError> {
        let reference = fallback(repository, subject)?;
        match self.manifest_if_any(&reference).await? {
            Some(found) => listed(&found.bytes, repository, &reference.to_string()),
            None => Ok(Vec::new()),
        }
    }

    /// Adds a referrer to the index under the fallback tag (OCI Distribution Specification 1.1, "Referrers Tag Schema").
    async fn list_by_tag(
        &self,
        repository: &Repository,
        subject: &Digest,
        referrer: &Referrer,
    ) -> Result<(), RegistryError> {
        let reference = fallback(repository, subject)?;
        // The registry has no «only if unchanged»: whose entry was overwritten by another writer adds it again.
        for _ in 0..ROUNDS {
            let mut found = self.referrers_by_tag(repository, subject).await?;
            if found.iter().any(|other| other.digest == referrer.digest) {
                return Ok(());
            }
            found.push(referrer.clone());
            let index = json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": found});
            self.put_manifest(&reference, media::OCI_INDEX, canonical_json(index).into()).await?;
        }
        let found = self.referrers_by_tag(repository, subject).await?;
        if found.iter().any(|other| other.digest == referrer.digest) {
            return Ok(());
        }
        Err(RegistryError::Refused(format!(
            "{reference} is written by others again and again: try again later"
        )))
    }
}

fn fallback(repository: &Repository, subject: &Digest) -> Result<Reference, RegistryError> {
    Ok(repository.tagged(&format!("sha256-{}", subject.hex()))?)
}

fn described(descriptor: &Descriptor) -> serde_json::Value {
    json!({
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest.to_string(),
        "size": descriptor.size,
    })
}

/// The entries of a list. One of a kind that we do not read (another digest's algorithm) is left out.
fn listed(bytes: &[u8], repository: &Repository, what: &str) -> Result<Vec<Referrer>, RegistryError> {
    let hostile = |why: String| RegistryError::Hostile {
        registry: repository.registry().into(),
        what: what.into(),
        why,
    };
    let list: List =
        serde_json::from_slice(bytes).map_err(|error| hostile(format!("its list is no index: {error}")))?;
    let manifests = list.manifests.unwrap_or_default();
    if manifests.len() > MAX_ENTRIES {
        return Err(hostile(format!("its list has {} entries; the limit is {MAX_ENTRIES}", manifests.len())));
    }
    Ok(manifests.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}
