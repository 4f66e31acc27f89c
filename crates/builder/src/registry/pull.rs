//! Pulling an image into a store.

use std::collections::BTreeSet;

use image::manifest::{ARCHITECTURE, MAX_DEPTH, MAX_ENTRIES};
use image::{Descriptor, Digest, Document, Manifest, manifest};

use super::client::Client;
use super::error::RegistryError;
use super::manifests::Fetched;
use super::store::Store;
use super::tasks::side_by_side;
use crate::reference::{Reference, Repository};

/// What of an index is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platforms {
    /// The entry that runs here, Wasm before native.
    Best,
    /// All of them.
    All,
}

/// An image that is in the store now.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// What the reference names: a manifest or an index.
    pub root: Descriptor,
    /// What to run: the root itself, or the best entry of the index.
    pub image: Descriptor,
    /// The manifest of `image`.
    pub manifest: Manifest,
    /// All that belongs to `root` (`Platforms::All`) or to `image` (`Platforms::Best`), itself included.
    pub content: Vec<Descriptor>,
}

impl Client {
    /// Brings an image into the store: blobs first, its manifest last.
    ///
    /// # Errors
    /// A sentence that names the reference, the registry or the blob. What is in the store then is whole.
    pub async fn pull(
        &self,
        reference: &Reference,
        platforms: Platforms,
        store: &Store,
    ) -> Result<Pulled, RegistryError> {
        let root = self.manifest(reference).await?;
        let mut walk =
            Walk { client: self, repository: reference.repository(), platforms, seen: BTreeSet::new() };
        let mut found = Found::default();
        let (image, manifest) = walk.document(root.clone(), 0, &mut found).await?;
        self.blobs(reference.repository(), found.blobs.clone(), store).await?;
        // The documents that hold the rest together come when all of that is there, the outermost last.
        for document in &found.documents {
            store.write(&document.bytes)?;
        }
        let documents = found.documents.into_iter().map(|document| document.descriptor);
        let content = found.blobs.into_iter().chain(documents).collect();
        Ok(Pulled { root: root.descriptor, image, manifest, content })
    }

    async fn blobs(
        &self,
        repository: &Repository,
        blobs: Vec<Descriptor>,
        store: &Store,
    ) -> Result<(), RegistryError> {
        let tasks = blobs.into_iter().map(|blob| {
            let (client, repository, store) = (self.clone(), repository.clone(), store.clone());
            async move { client.blob(&repository, &blob, &store).await }
        });
        side_by_side(self.options().side_by_side, tasks).await
    }
}

/// What a walk through an index finds, inner documents before outer ones.
#[derive(Debug, Default)]
struct Found {
    documents: Vec<Fetched>,
    blobs: Vec<Descriptor>,
}

#[derive(Debug)]
struct Walk<'a> {
    client: &'a Client,
    repository: &'a Repository,
    platforms: Platforms,
    seen: BTreeSet<Digest>,
}

impl Walk<'_> {
    /// Walks through a document and answers the manifest to run.
    async fn document(
        &mut self,
        document: Fetched,
        depth: usize,
        found: &mut Found,
    ) -> Result<(Descriptor, Manifest), RegistryError> {
        let name = format!("{}@{}", self.repository, document.descriptor.digest);
        let refuse = |why: String| RegistryError::Refused(format!("{name} is refused: {why}"));
        if depth > MAX_DEPTH {
            return Err(refuse(format!("its indexes are nested more than {MAX_DEPTH} deep")));
        }
        let parsed = manifest::parse(&document.bytes, &document.descriptor.media_type)
            .map_err(RegistryError::of_image(name.clone()))?;
        let index = match parsed {
            Document::Manifest(manifest) => {
                for blob in std::iter::once(&manifest.config).chain(&manifest.layers) {
                    if self.seen.insert(blob.digest) {
                        found.blobs.push(blob.clone());
                    }
                }
                let descriptor = document.descriptor.clone();
                found.documents.push(document);
                return Ok((descriptor, manifest));
            }
            Document::Index(index) => index,
        };
        let best = index.pick(ARCHITECTURE).map_err(RegistryError::of_image(name.clone()))?.digest;
        let mut picked = None;
        for (entry, _) in &index.entries {
            if self.platforms == Platforms::Best && entry.digest != best {
                continue;
            }
            // One document that many indexes name is walked through once; a bomb of many is cut short.
            if !self.seen.insert(entry.digest) {
                continue;
            }
            if self.seen.len() > MAX_ENTRIES {
                return Err(refuse(format!("it leads to more than {MAX_ENTRIES} documents and blobs")));
            }
            let inner = self.client.manifest(&self.repository.with_digest(entry.digest)).await?;
            if inner.descriptor.size != entry.size {
                return Err(refuse(format!(
                    "{} has {} bytes where the index says {}",
                    entry.digest, inner.descriptor.size, entry.size
                )));
            }
            let walked = Box::pin(self.document(inner, depth + 1, found)).await?;
            if entry.digest == best {
                picked = Some(walked);
            }
        }
        if self.platforms == Platforms::All {
            found.documents.push(document);
        }
        picked.ok_or_else(|| refuse("it refers to itself, or twice to one index".into()))
    }
}
