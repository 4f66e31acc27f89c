//! From an image's name to the manifest that runs: the documents in between, each verified by the digest that led to it.

use anyhow::{Result, bail};
use image::manifest::MAX_DEPTH;
use image::{Descriptor, Digest, Document, Manifest};

use super::architecture;
use crate::containerd::{Containerd, ImageRef, Unread};

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
    /// Whether files of the container's root file system may run.
    pub has_files: bool,
}

impl Content {
    pub fn is_of(&self, manifest: &Manifest) -> bool {
        manifest.digest == self.manifest || self.by_config && manifest.config.digest == self.config
    }
}

/// The most documents of one image that are read in search of a config. Indexes have a few entries for a platform.
const MOST_DOCUMENTS: usize = 64;

/// An image's manifest, through its indexes if it has any. Where several of an index's entries would do, it is the one with the
/// config that the container was `made_of`, by whoever made its root file system.
pub async fn lineage(containerd: &Containerd, image: &ImageRef, made_of: Option<&Digest>) -> Result<Lineage> {
    if let Some(config) = made_of
        && let Some(found) = with_config(containerd, &image.target, config).await?
    {
        return Ok(found);
    }
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

/// The way from a document down to the first manifest that has this config. `None`: nothing that containerd has leads to one.
///
/// # Errors
/// containerd could not be asked.
pub async fn with_config(
    containerd: &Containerd,
    target: &Descriptor,
    config: &Digest,
) -> Result<Option<Lineage>> {
    let mut ways = vec![(Vec::new(), target.clone())];
    for _ in 0..MOST_DOCUMENTS {
        let Some((mut digests, wanted)) = ways.pop() else { break };
        let bytes = match containerd.document(&wanted).await {
            Ok(bytes) => bytes,
            Err(error) if error.downcast_ref::<Unread>().is_some_and(|unread| !unread.is_absent) => {
                return Err(error);
            }
            // containerd keeps what suits the node, and what is not as its descriptor says leads nowhere.
            Err(_) => continue,
        };
        digests.push(wanted.digest);
        match image::manifest::parse(&bytes, &wanted.media_type) {
            Ok(Document::Manifest(manifest)) if manifest.config.digest == *config => {
                return Ok(Some(Lineage { digests, manifest }));
            }
            Ok(Document::Index(index)) if digests.len() <= MAX_DEPTH => {
                // The last one is looked at first.
                let entries = index.candidates(architecture()).into_iter().rev();
                ways.extend(entries.map(|entry| (digests.clone(), entry.clone())));
            }
            _ => {}
        }
    }
    Ok(None)
}
