//! Readers of the documents that containerd stores for an image: index and manifest.
//!
//! Lenient about what other tools write (unknown fields, `null` for a list, missing media types), strict about what
//! decides what runs: digests, sizes, counts, and a document that could be taken for two things.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::error::tame;
use crate::{Digest, ImageConfig, ImageError, media};

/// The largest index, manifest or config that is read, in bytes (containerd's own limit is 8 MiB).
pub const MAX_DOCUMENT: u64 = 4 << 20;

/// The most layers of a manifest, or entries of an index.
pub const MAX_ENTRIES: usize = 1024;

/// How deep indexes may refer to indexes; a reader that follows them stops here.
pub const MAX_DEPTH: usize = 3;

/// This machine's architecture in Go's words, as platforms are named.
pub const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    std::env::consts::ARCH
};

const TITLE: &str = "org.opencontainers.image.title";

/// How a document refers to content (OCI image spec, "Content Descriptors").
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default, deserialize_with = "null_as_default")]
    pub media_type: String,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    #[serde(default, deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// The file name that its builder gave it (`org.opencontainers.image.title`).
    pub fn title(&self) -> Option<&str> {
        self.annotations.get(TITLE).map(String::as_str)
    }

    /// Whether `bytes` are the content that is referred to.
    ///
    /// # Errors
    /// [`ImageError::SizeMismatch`] or [`ImageError::DigestMismatch`] when they are not.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), ImageError> {
        let found = bytes.len() as u64;
        if found != self.size {
            return Err(ImageError::SizeMismatch { digest: self.digest, expected: self.size, found });
        }
        self.digest.verify(bytes)
    }

    fn within(&self, what: &'static str, limit: u64) -> Result<(), ImageError> {
        if self.size > limit {
            return Err(ImageError::TooLarge { what, digest: self.digest, size: self.size, limit });
        }
        Ok(())
    }
}

/// What an entry of an index is made for, in Go's words (`linux`/`amd64`, `wasip2`/`wasm`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    #[serde(default, deserialize_with = "null_as_default")]
    pub os: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub architecture: String,
}

/// An index or a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    Index(Index),
    Manifest(Manifest),
}

/// An image for several platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The digest of the document itself.
    pub digest: Digest,
    pub entries: Vec<(Descriptor, Option<Platform>)>,
}

/// An image for one platform, or an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of the document itself.
    pub digest: Digest,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    pub annotations: BTreeMap<String, String>,
}

/// Where the Wasm of an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WasmImage {
    /// The Wasm layers of an OCI image, in their order; never empty. [`crate::entry::choose`] tells which one to run.
    Layers(Vec<Descriptor>),
    /// The one layer of a Wasm OCI artifact.
    Artifact(Descriptor),
    /// No layer is Wasm: look in the rootfs.
    None,
}

/// Reads an index or a manifest. `media_type` is what the descriptor that led here says, or empty.
///
/// # Errors
/// A sentence with the digest of the document, when it is too large, no JSON of either form, both forms at once, of
/// another type than its descriptor says, or has a broken descriptor.
pub fn parse(bytes: &[u8], media_type: &str) -> Result<Document, ImageError> {
    let digest = Digest::of(bytes);
    let malformed = |why: String| ImageError::Malformed { what: "the image manifest", digest, why };
    let size = bytes.len() as u64;
    if size > MAX_DOCUMENT {
        return Err(ImageError::TooLarge { what: "the image manifest", digest, size, limit: MAX_DOCUMENT });
    }
    let raw: Raw = serde_json::from_slice(bytes).map_err(|error| malformed(tame(&error.to_string(), 500)))?;
    for found in [media_type, &raw.media_type] {
        if !found.is_empty() && !media::is_index(found) && !media::is_manifest(found) {
            let found = tame(found, 100);
            return Err(ImageError::MediaType { what: "the image manifest", digest, found });
        }
    }
    // One document that is an index to one reader and a manifest to another is an attack (CVE-2021-41190).
    let is_index = match (raw.manifests.is_some(), raw.config.is_some() || raw.layers.is_some()) {
        (true, false) => true,
        (false, true) => false,
        (true, true) => return Err(malformed("it is an index and a manifest at once".into())),
        (false, false) => return Err(malformed("it lists neither manifests nor layers".into())),
    };
    for claim in [media_type, &raw.media_type] {
        if !claim.is_empty() && media::is_index(claim) != is_index {
            return Err(malformed(format!("its media type is {claim}, its content is of the other kind")));
        }
    }
    if is_index {
        let entries = raw.manifests.unwrap_or_default();
        at_most_max_entries(entries.len()).map_err(malformed)?;
        return Ok(Document::Index(Index {
            digest,
            entries: entries.into_iter().map(|e| (e.descriptor, e.platform)).collect(),
        }));
    }
    let config = raw.config.ok_or_else(|| malformed("it has no config".into()))?;
    let layers = raw.layers.unwrap_or_default();
    at_most_max_entries(layers.len()).map_err(malformed)?;
    config.within("the image config", MAX_DOCUMENT)?;
    Ok(Document::Manifest(Manifest { digest, config, layers, annotations: raw.annotations }))
}

fn at_most_max_entries(count: usize) -> Result<(), String> {
    if count > MAX_ENTRIES {
        Err(format!("it lists {count} entries; the limit is {MAX_ENTRIES}"))
    } else {
        Ok(())
    }
}

impl Index {
    /// The entries that can run on a node of this `architecture` (in Go's words), best first: wasip2, wasip1, wasi, then
    /// `linux/<architecture>`, then those that name no platform. containerd fetches only what suits the node, so the
    /// content of a better entry may be absent where a lesser one's is there.
    pub fn candidates(&self, architecture: &str) -> Vec<&Descriptor> {
        let rank = |platform: &Option<Platform>| match platform {
            None => Some(4),
            Some(platform) => match platform.os.as_str() {
                "wasip2" => Some(0),
                "wasip1" => Some(1),
                "wasi" => Some(2),
                "linux" if platform.architecture == architecture => Some(3),
                _ => None,
            },
        };
        let mut ranked: Vec<_> = self
            .entries
            .iter()
            .filter_map(|(descriptor, platform)| Some((rank(platform)?, descriptor)))
            .collect();
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, descriptor)| descriptor).collect()
    }

    /// The first of the [`Index::candidates`].
    ///
    /// # Errors
    /// [`ImageError::NoPlatform`] with the platforms that there are.
    pub fn pick(&self, architecture: &str) -> Result<&Descriptor, ImageError> {
        self.candidates(architecture).into_iter().next().ok_or_else(|| ImageError::NoPlatform {
            digest: self.digest,
            architecture: architecture.into(),
            found: self.platforms(),
        })
    }

    fn platforms(&self) -> String {
        let named: Vec<String> = self
            .entries
            .iter()
            .filter_map(|(_, platform)| platform.as_ref())
            .take(10)
            .map(|p| tame(&format!("{}/{}", p.os, p.architecture), 100))
            .collect();
        if named.is_empty() { "nothing".into() } else { named.join(", ") }
    }
}

impl Manifest {
    /// Where the Wasm of this image is. `limit` is the most bytes that a Wasm layer may have.
    ///
    /// # Errors
    /// [`ImageError::ArtifactLayers`] for an artifact without exactly one Wasm layer; [`ImageError::TooLarge`].
    pub fn wasm(&self, limit: u64) -> Result<WasmImage, ImageError> {
        let layers: Vec<Descriptor> =
            self.layers.iter().filter(|layer| media::is_wasm_layer(&layer.media_type)).cloned().collect();
        for layer in &layers {
            layer.within("the Wasm layer", limit)?;
        }
        if media::is_wasm_config(&self.config.media_type) {
            return match <[Descriptor; 1]>::try_from(layers) {
                Ok([layer]) => Ok(WasmImage::Artifact(layer)),
                Err(layers) => Err(ImageError::ArtifactLayers { digest: self.digest, found: layers.len() }),
            };
        }
        Ok(if layers.is_empty() { WasmImage::None } else { WasmImage::Layers(layers) })
    }

    /// Whether the config names exactly these layers.
    ///
    /// CRI knows an image by the digest of its config, and takes the first by name of all images that share one. Tar layers
    /// are part of a config by their diff_ids, Wasm layers are not: a manifest with the config of another image and Wasm of
    /// its own would run in that image's place. `config` must have been verified against `self.config`.
    ///
    /// # Returns
    /// `false` when the config names no layers, so that nothing tells this image from another with the same config.
    ///
    /// # Errors
    /// [`ImageError::ForeignConfig`] when it names others.
    pub fn is_confirmed_by(&self, config: &ImageConfig) -> Result<bool, ImageError> {
        let refused = || ImageError::ForeignConfig { digest: self.digest, config: self.config.digest };
        let Some(digests) = config.layer_digests.as_ref().filter(|digests| !digests.is_empty()) else {
            return Ok(false);
        };
        if !digests.iter().eq(self.layers.iter().map(|layer| &layer.digest)) {
            return Err(refused());
        }
        if let Some(titles) = &config.layer_titles {
            let found = self.layers.iter().map(|layer| layer.title().unwrap_or_default());
            if !titles.iter().map(String::as_str).eq(found) {
                return Err(refused());
            }
        }
        Ok(true)
    }

    /// Whether config or layers say "Wasm": such an image never runs as a native one. [`crate::ImageConfig::claims_wasm`]
    /// tells the same of the config's content.
    pub fn claims_wasm(&self) -> bool {
        media::is_wasm_config(&self.config.media_type)
            || self.layers.iter().any(|layer| media::is_wasm_layer(&layer.media_type))
    }
}

/// Both documents at once, so that one that is both can be refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default, deserialize_with = "null_as_default")]
    media_type: String,
    manifests: Option<Vec<RawEntry>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    #[serde(default, deserialize_with = "null_as_default")]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct RawEntry {
    #[serde(flatten)]
    descriptor: Descriptor,
    platform: Option<Platform>,
}

/// Go writes an empty list, map or string that was never set as `null`.
fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    input: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
