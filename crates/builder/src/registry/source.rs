//! Where an image that is pushed comes from: memory, a folder or a tar with an OCI layout.
//!
//! A layout is a stranger's work: names in a tar are compared, never followed, nothing is unpacked, and what is read is
//! verified against its descriptor before any of it is sent.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use image::build::Layout;
use image::manifest::{MAX_DOCUMENT, MAX_ENTRIES};
use image::{Descriptor, Digest, Document, Hasher, ImageError, manifest, media};
use tar::{Archive, EntryType};

use super::error::{RegistryError, tame};

/// The most files of a tar that are looked at.
const MAX_FILES: usize = 16 * MAX_ENTRIES;

/// How much is read at a time, in bytes.
const PIECE: usize = 1 << 20;

/// An image that can be pushed. A clone is the same one.
#[derive(Debug, Clone)]
pub struct Source {
    content: Content,
    root: Descriptor,
}

#[derive(Debug, Clone)]
enum Content {
    Memory(Arc<Layout>),
    /// A blob of no image.
    Bytes(Digest, Bytes),
    Folder(PathBuf),
    Tar {
        path: PathBuf,
        file: Arc<File>,
        blobs: Arc<BTreeMap<Digest, (u64, u64)>>,
    },
}

impl Source {
    /// An image that was just built.
    pub fn layout(layout: Layout) -> Source {
        let root = Descriptor {
            media_type: media::OCI_MANIFEST.into(),
            digest: layout.digest(),
            size: layout.manifest_bytes().len() as u64,
            annotations: BTreeMap::new(),
        };
        Source { content: Content::Memory(Arc::new(layout)), root }
    }

    /// Nothing but one blob.
    pub(super) fn bytes(blob: &Descriptor, bytes: Vec<u8>) -> Source {
        Source { content: Content::Bytes(blob.digest, bytes.into()), root: blob.clone() }
    }

    /// An OCI layout: a folder, or a tar that is not compressed. `name`: which image of several, by its tag or full name.
    ///
    /// # Errors
    /// A sentence with the path, and the names that there are.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Source, RegistryError> {
        let meta = fs::metadata(path).map_err(|error| RegistryError::file(path, &error))?;
        let (content, index) = if meta.is_dir() { folder(path)? } else { tar(path)? };
        let root = select(path, &index, name)?;
        Ok(Source { content, root })
    }

    /// What is pushed: a manifest or an index.
    pub fn root(&self) -> &Descriptor {
        &self.root
    }

    /// A whole document, verified.
    pub(super) fn document(&self, descriptor: &Descriptor) -> Result<Bytes, RegistryError> {
        if descriptor.size > MAX_DOCUMENT {
            let (digest, size) = (descriptor.digest, descriptor.size);
            return Err(self.damaged(ImageError::TooLarge {
                what: "the image manifest",
                digest,
                size,
                limit: MAX_DOCUMENT,
            }));
        }
        let bytes = self.piece(descriptor, 0, usize::try_from(descriptor.size).unwrap_or(usize::MAX))?;
        descriptor.verify(&bytes).map_err(|error| self.damaged(error))?;
        Ok(bytes)
    }

    /// Whether a blob is what its descriptor says.
    pub(super) fn verify(&self, blob: &Descriptor) -> Result<(), RegistryError> {
        let found = self.size(&blob.digest)?;
        if found != blob.size {
            let (digest, expected) = (blob.digest, blob.size);
            return Err(self.damaged(ImageError::SizeMismatch { digest, expected, found }));
        }
        let mut hasher = Hasher::default();
        while hasher.size() < blob.size {
            hasher.update(&self.piece(blob, hasher.size(), PIECE)?);
        }
        blob.digest.expect(hasher.finish()).map_err(|error| self.damaged(error))
    }

    /// At most `length` bytes of a blob from `offset` on; fewer only at its end, which its descriptor tells.
    pub(super) fn piece(
        &self,
        blob: &Descriptor,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, RegistryError> {
        let rest = usize::try_from(blob.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = rest.min(length);
        let missing = || self.missing(&blob.digest);
        let part = |bytes: &[u8]| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            bytes.get(start..start.saturating_add(length)).map(Bytes::copy_from_slice).ok_or_else(missing)
        };
        match &self.content {
            Content::Memory(layout) => part(layout.blob(&blob.digest).ok_or_else(missing)?),
            Content::Bytes(_, bytes) => part(bytes),
            Content::Folder(root) => {
                let path = blob_path(root, &blob.digest);
                File::open(&path)
                    .and_then(|file| read_at(&file, offset, length))
                    .map_err(|error| RegistryError::file(&path, &error))
            }
            Content::Tar { path, file, blobs } => {
                let (start, size) = blobs.get(&blob.digest).ok_or_else(missing)?;
                if offset.saturating_add(length as u64) > *size {
                    let (digest, expected, found) = (blob.digest, blob.size, *size);
                    return Err(self.damaged(ImageError::SizeMismatch { digest, expected, found }));
                }
                read_at(file, start.saturating_add(offset), length)
                    .map_err(|error| RegistryError::file(path, &error))
            }
        }
    }

    fn size(&self, digest: &Digest) -> Result<u64, RegistryError> {
        match &self.content {
            Content::Memory(layout) => layout.blob(digest).map(|bytes| bytes.len() as u64),
            Content::Bytes(own, bytes) => (own == digest).then_some(bytes.len() as u64),
            Content::Tar { blobs, .. } => blobs.get(digest).map(|(_, size)| *size),
            Content::Folder(root) => {
                let path = blob_path(root, digest);
                // A link could lead to any file of the machine that pushes.
                let meta = fs::symlink_metadata(&path).map_err(|error| RegistryError::file(&path, &error))?;
                meta.is_file().then_some(meta.len())
            }
        }
        .ok_or_else(|| self.missing(digest))
    }

    fn missing(&self, digest: &Digest) -> RegistryError {
        RegistryError::Refused(format!("{} has no file for the blob {digest}: it is not whole", self.name()))
    }

    fn damaged(&self, error: ImageError) -> RegistryError {
        RegistryError::of_image(self.name())(error)
    }

    fn name(&self) -> String {
        match &self.content {
            Content::Memory(_) | Content::Bytes(..) => "the image".into(),
            Content::Folder(path) | Content::Tar { path, .. } => path.display().to_string(),
        }
    }
}

fn blob_path(root: &Path, digest: &Digest) -> PathBuf {
    root.join("blobs").join("sha256").join(digest.hex())
}

fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}

fn folder(path: &Path) -> Result<(Content, Vec<u8>), RegistryError> {
    let read = |name: &str| {
        let file = path.join(name);
        let mut bytes = Vec::new();
        File::open(&file)
            .and_then(|open| open.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes))
            .map_err(|error| no_layout(path, &format!("{name}: {error}")))?;
        Ok(bytes)
    };
    let (marker, index) = (read("oci-layout")?, read("index.json")?);
    check_marker(path, &marker)?;
    Ok((Content::Folder(path.into()), index))
}

fn tar(path: &Path) -> Result<(Content, Vec<u8>), RegistryError> {
    let refuse = |error: io::Error| no_layout(path, &format!("it is no tar, or compressed ({error})"));
    let file = File::open(path).map_err(|error| RegistryError::file(path, &error))?;
    let mut archive = Archive::new(&file);
    let (mut blobs, mut documents) = (BTreeMap::new(), BTreeMap::new());
    // Raw: no extension is read into memory. All names that matter are short enough to need none.
    for (count, entry) in archive.entries_with_seek().map_err(refuse)?.raw(true).enumerate() {
        let entry = entry.map_err(refuse)?;
        if count >= MAX_FILES {
            return Err(no_layout(path, &format!("it holds more than {MAX_FILES} files")));
        }
        if !matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous) {
            continue;
        }
        let name = entry.path_bytes();
        let name = String::from_utf8_lossy(&name);
        let name = name.strip_prefix("./").unwrap_or(&name);
        let place = (entry.raw_file_position(), entry.size());
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            if let Ok(digest) = format!("sha256:{hex}").parse::<Digest>() {
                blobs.insert(digest, place);
            }
        } else if matches!(name, "oci-layout" | "index.json") {
            documents.insert(name.to_owned(), place);
        }
    }
    let read = |name: &str| {
        let (start, size) =
            documents.get(name).ok_or_else(|| no_layout(path, &format!("it has no {name}")))?;
        let length = usize::try_from((*size).min(MAX_DOCUMENT + 1)).unwrap_or(usize::MAX);
        read_at(&file, *start, length).map_err(|error| no_layout(path, &format!("{name}: {error}")))
    };
    let (marker, index) = (read("oci-layout")?, read("index.json")?);
    check_marker(path, &marker)?;
    let (blobs, index) = (Arc::new(blobs), index.into());
    Ok((Content::Tar { path: path.into(), file: Arc::new(file), blobs }, index))
}

fn no_layout(path: &Path, why: &str) -> RegistryError {
    let why = format!("it is no OCI layout, folder or tar: {}", tame(why));
    RegistryError::File { path: path.into(), why }
}

fn check_marker(path: &Path, bytes: &[u8]) -> Result<(), RegistryError> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    match serde_json::from_slice::<Marker>(bytes) {
        Ok(marker) if marker.image_layout_version.starts_with("1.") => Ok(()),
        Ok(marker) => Err(no_layout(path, &format!("its version is «{}»", marker.image_layout_version))),
        Err(error) => Err(no_layout(path, &format!("oci-layout: {error}"))),
    }
}

/// The image of this name, or the only one.
fn select(path: &Path, index: &[u8], name: Option<&str>) -> Result<Descriptor, RegistryError> {
    let shown = path.display();
    let parsed = manifest::parse(index, media::OCI_INDEX)
        .map_err(RegistryError::of_image(format!("{shown}: index.json")))?;
    let Document::Index(index) = parsed else {
        return Err(no_layout(path, "index.json is no index"));
    };
    let names = |entry: &Descriptor| {
        let keys = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
        keys.iter().filter_map(|key| entry.annotations.get(*key).cloned()).collect::<Vec<_>>()
    };
    let mut entries: Vec<Descriptor> = index.entries.into_iter().map(|(entry, _)| entry).collect();
    if let Some(name) = name {
        entries.retain(|entry| {
            names(entry).iter().any(|other| other == name) || entry.digest.to_string() == name
        });
    }
    entries.dedup_by(|a, b| a.digest == b.digest);
    match <[Descriptor; 1]>::try_from(entries) {
        Ok([root]) => Ok(root),
        Err(none) if none.is_empty() => Err(RegistryError::Refused(match name {
            Some(name) => format!("{shown} has no image of the name «{}»", tame(name)),
            None => format!("{shown} has no image"),
        })),
        Err(several) => {
            let shown_names: Vec<String> =
                several.iter().take(10).map(|entry| tame(&names(entry).join(" or "))).collect();
            Err(RegistryError::Refused(format!(
                "{shown} has {} images: name one of {}",
                several.len(),
                shown_names.join(", ")
            )))
        }
    }
}
