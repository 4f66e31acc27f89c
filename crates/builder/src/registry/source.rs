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
use super::export::{FULL_NAME, REF_NAME};
use super::store::Store;

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

    /// An image that was pulled into a store.
    pub fn stored(store: &Store, root: Descriptor) -> Source {
        Source { content: Content::Folder(store.root().to_owned()), root }
    }

    /// What is pushed: a manifest or an index.
    pub fn root(&self) -> &Descriptor {
        &self.root
    }

    /// The full name of the image, where its layout says it.
    pub fn name_of_image(&self) -> Option<&str> {
        self.root.annotations.get(FULL_NAME).map(String::as_str)
    }

    /// A whole document, verified.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Bytes, RegistryError> {
        Ok(self.blob(descriptor, MAX_DOCUMENT)?.into())
    }

    /// A whole blob, verified. `limit`: the most bytes it may have.
    pub fn blob(&self, blob: &Descriptor, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let (digest, size) = (blob.digest, blob.size);
        if size > limit {
            return Err(self.damaged(ImageError::TooLarge { what: "the blob", digest, size, limit }));
        }
        self.check_size(blob)?;
        let bytes = self.piece(blob, 0, usize::try_from(size).unwrap_or(usize::MAX))?;
        blob.verify(&bytes).map_err(|error| self.damaged(error))?;
        Ok(bytes.into())
    }

    /// Whether a blob is what its descriptor says.
    pub(super) fn verify(&self, blob: &Descriptor) -> Result<(), RegistryError> {
        self.check_size(blob)?;
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

    /// Before anything of it is opened: what is no regular file could hold us up for ever.
    fn check_size(&self, blob: &Descriptor) -> Result<(), RegistryError> {
        let found = self.size(&blob.digest)?;
        if found == blob.size {
            return Ok(());
        }
        let (digest, expected) = (blob.digest, blob.size);
        Err(self.damaged(ImageError::SizeMismatch { digest, expected, found }))
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
    let read = |name: &str| -> Result<Vec<u8>, RegistryError> {
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
        let keys = [REF_NAME, FULL_NAME];
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

#[cfg(test)]
mod tests {
    use super::super::push::Plan;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const MARKER: &[u8] = br#"{"imageLayoutVersion": "1.0.0"}"#;

    fn built() -> Layout {
        let module = wat::parse_str("(module)").unwrap();
        image::ImageBuilder::new().wasm("app.wasm", module).build().unwrap()
    }

    /// A layout folder with the blobs, and an index that leads to `root`.
    fn layout(blobs: &[&[u8]], root: serde_json::Value) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        for bytes in blobs {
            store.write(bytes).unwrap();
        }
        let index = json!({"schemaVersion": 2, "manifests": [root]}).to_string();
        fs::write(folder.path().join("index.json"), index).unwrap();
        fs::write(folder.path().join("oci-layout"), MARKER).unwrap();
        folder
    }

    fn entry(bytes: &[u8], media_type: &str) -> serde_json::Value {
        json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
    }

    fn refused(path: &Path) -> String {
        Source::open(path, None).and_then(|source| Plan::of(&source).map(drop)).unwrap_err().to_string()
    }

    #[test]
    fn a_tar_of_ours_is_read_without_being_unpacked() {
        let (layout, folder) = (built(), tempfile::tempdir().unwrap());
        let tar = folder.path().join("x.tar");
        fs::write(&tar, layout.to_tar("localhost/x:1", 0).unwrap()).unwrap();
        for name in [None, Some("1"), Some("localhost/x:1")] {
            let source = Source::open(&tar, name).unwrap();
            assert_eq!(source.root().digest, layout.digest());
            assert_eq!(source.document(source.root()).unwrap(), layout.manifest_bytes());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_tar_that_is_cut_or_compressed_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let tar = folder.path().join("x.tar");
        let whole = built().to_tar("localhost/x:1", 0).unwrap();
        for bytes in
            [&whole[..1000], &whole[..whole.len() / 2], b"", b"\x1f\x8b\x08\0 compressed", &[0; 4096]]
        {
            fs::write(&tar, bytes).unwrap();
            assert!(refused(&tar).contains("x.tar cannot be used: it is no OCI layout"));
        }
    }

    #[test]
    fn names_and_links_in_a_tar_lead_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["index.json", "oci-layout"] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, name, &secret).unwrap();
        }
        let path = folder.path().join("x.tar");
        fs::write(&path, tar.into_inner().unwrap()).unwrap();
        assert!(refused(&path).contains("it has no oci-layout"));
    }

    #[test]
    fn a_blob_that_is_a_link_is_not_followed() {
        let layout = built();
        let folder = self::layout(&[], entry(layout.manifest_bytes(), media::OCI_MANIFEST));
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        fs::write(elsewhere.path(), layout.manifest_bytes()).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), blob_path(folder.path(), &layout.digest())).unwrap();
        assert!(refused(folder.path()).contains("has no file for the blob"));
    }

    #[test]
    fn an_index_within_indexes_is_refused() {
        let layout = built();
        let mut documents = vec![layout.manifest_bytes().to_vec()];
        for depth in 0..10 {
            let inner = documents.last().unwrap();
            let media_type = if depth == 0 { media::OCI_MANIFEST } else { media::OCI_INDEX };
            documents.push(
                json!({"schemaVersion": 2, "manifests": [entry(inner, media_type)]}).to_string().into(),
            );
        }
        let blobs: Vec<&[u8]> = documents.iter().map(Vec::as_slice).collect();
        let shallow = self::layout(&blobs, entry(blobs[3], media::OCI_INDEX));
        assert!(Plan::of(&Source::open(shallow.path(), None).unwrap()).is_ok());
        let deep = self::layout(&blobs, entry(blobs[10], media::OCI_INDEX));
        assert!(refused(deep.path()).contains("nested more than 3 indexes deep"));
    }

    #[test]
    fn another_content_or_size_than_the_descriptor_says_is_refused() {
        let layout = built();
        let manifest = layout.manifest_bytes();
        let mut lie = entry(manifest, media::OCI_MANIFEST);
        lie["size"] = json!(manifest.len() + 1);
        assert!(refused(self::layout(&[manifest], lie).path()).contains("its descriptor says"));
        let folder = self::layout(&[manifest], entry(manifest, media::OCI_MANIFEST));
        fs::write(blob_path(folder.path(), &layout.digest()), vec![b' '; manifest.len()]).unwrap();
        assert!(refused(folder.path()).contains("has the digest"));
        let absent = self::layout(&[], entry(manifest, media::OCI_MANIFEST));
        assert!(refused(absent.path()).contains("cannot be used"));
    }

    proptest! {
        #[test]
        fn any_tar_is_read_or_refused_in_one_line(bytes: Vec<u8>, at in 0usize..4096) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.tar");
            let mut tar = built().to_tar("localhost/x:1", 0).unwrap();
            for (place, byte) in tar.iter_mut().skip(at).zip(&bytes) {
                *place = *byte;
            }
            fs::write(&path, tar).unwrap();
            if let Err(error) = Source::open(&path, None).and_then(|source| Plan::of(&source)) {
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }
}
