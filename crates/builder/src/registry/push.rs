//! Pushing an image: blobs, then what refers to them, the tag last. A tag never leads to an image that is not whole.

use std::collections::BTreeSet;

use bytes::Bytes;
use image::manifest::{MAX_DEPTH, MAX_ENTRIES};
use image::{Descriptor, Digest, Document, manifest};

use super::client::Client;
use super::error::RegistryError;
use super::source::Source;
use super::tasks::side_by_side;
use crate::reference::{Reference, Repository};

/// All that belongs to an image, in the order in which a registry takes it.
#[derive(Debug, Default)]
pub(super) struct Plan {
    blobs: Vec<Descriptor>,
    /// Inner ones before outer ones; the last is the root.
    documents: Vec<(Descriptor, Bytes)>,
}

impl Plan {
    /// Reads the documents of an image. Blobs are verified when they are sent.
    pub fn of(source: &Source) -> Result<Plan, RegistryError> {
        let mut plan = Plan::default();
        plan.add(source, source.root().clone(), 0, &mut BTreeSet::new())?;
        Ok(plan)
    }

    fn add(
        &mut self,
        source: &Source,
        descriptor: Descriptor,
        depth: usize,
        seen: &mut BTreeSet<Digest>,
    ) -> Result<(), RegistryError> {
        let digest = descriptor.digest;
        if !seen.insert(digest) {
            return Ok(());
        }
        let refuse = |why: String| RegistryError::Refused(format!("the image {digest} is refused: {why}"));
        if depth > MAX_DEPTH {
            return Err(refuse(format!("it is nested more than {MAX_DEPTH} indexes deep")));
        }
        let bytes = source.document(&descriptor)?;
        let parsed = manifest::parse(&bytes, &descriptor.media_type)
            .map_err(RegistryError::of_image("the image cannot be pushed"))?;
        match parsed {
            Document::Manifest(manifest) => {
                for blob in std::iter::once(manifest.config).chain(manifest.layers) {
                    if seen.insert(blob.digest) {
                        self.blobs.push(blob);
                    }
                }
            }
            Document::Index(index) => {
                for (entry, _) in index.entries {
                    self.add(source, entry, depth + 1, seen)?;
                }
            }
        }
        if seen.len() > 2 * MAX_ENTRIES {
            return Err(refuse(format!("it leads to more than {} documents and blobs", 2 * MAX_ENTRIES)));
        }
        self.documents.push((descriptor, bytes));
        Ok(())
    }

    /// The root document with its media type.
    pub fn root(&self) -> Result<(&Descriptor, &Bytes), RegistryError> {
        let last = self.documents.last().map(|(descriptor, bytes)| (descriptor, bytes));
        last.ok_or_else(|| RegistryError::Refused("the image has no manifest".into()))
    }
}

impl Client {
    /// Pushes an image under a tag; without one, by its digest alone. `mount`: paths of repositories of the same registry
    /// that may have some of the blobs.
    ///
    /// # Returns
    /// The digest.
    ///
    /// # Errors
    /// A sentence. The tag is then what it was before.
    pub async fn push(
        &self,
        source: &Source,
        reference: &Reference,
        mount: &[String],
    ) -> Result<Digest, RegistryError> {
        let plan = Plan::of(source)?;
        let (root, bytes) = plan.root()?;
        if let Some(expected) = reference.digest().filter(|expected| *expected != root.digest) {
            return Err(RegistryError::Refused(format!(
                "the image has the digest {}, not {expected}",
                root.digest
            )));
        }
        self.push_content(source, &plan, reference.repository(), mount).await?;
        let by_digest = reference.repository().with_digest(root.digest);
        let target = match reference.tag() {
            Some(tag) => reference.repository().tagged(tag)?,
            None => by_digest,
        };
        self.put_manifest(&target, document_type(root), bytes.clone()).await?;
        Ok(root.digest)
    }

    /// Sends all but the root document.
    pub(super) async fn push_content(
        &self,
        source: &Source,
        plan: &Plan,
        repository: &Repository,
        mount: &[String],
    ) -> Result<(), RegistryError> {
        let tasks = plan.blobs.clone().into_iter().map(|blob| {
            let (client, repository, source, mount) =
                (self.clone(), repository.clone(), source.clone(), mount.to_vec());
            async move { client.put_blob(&repository, &source, &blob, &mount).await }
        });
        side_by_side(self.options().side_by_side, tasks).await?;
        let inner = plan.documents.len().saturating_sub(1);
        for (descriptor, bytes) in plan.documents.iter().take(inner) {
            let reference = repository.with_digest(descriptor.digest);
            self.put_manifest(&reference, document_type(descriptor), bytes.clone()).await?;
        }
        Ok(())
    }
}

/// A descriptor without a type is of what all tools write.
pub(super) fn document_type(descriptor: &Descriptor) -> &str {
    if descriptor.media_type.is_empty() { image::media::OCI_MANIFEST } else { &descriptor.media_type }
}
