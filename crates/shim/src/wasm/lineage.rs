//! From an image's name to the manifest that runs: the documents in between, each verified by the digest that led to it.

use anyhow::{Result, bail};
use image::manifest::MAX_DEPTH;
use image::{Digest, Document, Manifest};

use super::architecture;
use crate::containerd::{Containerd, ImageRef};

/// An image's documents. Who vouches for one of them vouches for the manifest.
pub struct Lineage {
    /// From what the name leads to down to the manifest.
    pub digests: Vec<Digest>,
    pub manifest: Manifest,
}

/// What a container runs, as far as images go.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    pub manifest: Digest,
    pub config: Digest,
    /// Whether the config names all that runs (a root file system by `diff_ids`, Wasm layers by their digests): then every
    /// manifest with this config is of the same content.
    pub by_config: bool,
}

impl Content {
    pub fn is_of(&self, manifest: &Manifest) -> bool {
        manifest.digest == self.manifest || self.by_config && manifest.config.digest == self.config
    }
}

/// An image's manifest, through its indexes if it has any.
pub async fn lineage(containerd: &Containerd, image: &ImageRef) -> Result<Lineage> {
    let mut wanted = image.target.clone();
    let mut digests = Vec::new();
    for _ in 0..=MAX_DEPTH {
        let bytes = containerd.document(&wanted).await?;
        digests.push(wanted.digest);
        match image::manifest::parse(&bytes, &wanted.media_type)? {
            Document::Manifest(manifest) => return Ok(Lineage { digests, manifest }),
            Document::Index(index) => wanted = index.pick(architecture())?.clone(),
        }
    }
    bail!("its indexes are nested deeper than {MAX_DEPTH}")
}
