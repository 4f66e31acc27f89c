//! An OCI image layout: blobs by digest, and the manifest that holds them together.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use serde_json::{Value, json};
use tar::{Builder, EntryType};

use super::{canonical, refuse, rootfs};
use crate::{Digest, ImageError, media};

/// A built image.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    blobs: BTreeMap<Digest, Vec<u8>>,
    manifest: Vec<u8>,
}

impl Layout {
    /// The digest of the image: its manifest's.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// The manifest as it is stored.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.manifest
    }

    /// Any blob, the manifest included.
    pub fn blob(&self, digest: &Digest) -> Option<&[u8]> {
        self.blobs.get(digest).map(Vec::as_slice)
    }

    /// All blobs in the order of their digests.
    pub fn blobs(&self) -> impl Iterator<Item = (&Digest, &[u8])> {
        self.blobs.iter().map(|(digest, bytes)| (digest, bytes.as_slice()))
    }

    /// Stores a blob and answers its descriptor.
    pub(super) fn add(&mut self, media_type: &str, bytes: Vec<u8>, title: Option<&str>) -> Value {
        let digest = Digest::of(&bytes);
        let mut descriptor =
            json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()});
        if let Some(title) = title {
            canonical::merge(
                &mut descriptor,
                json!({"annotations": {"org.opencontainers.image.title": title}}),
            );
        }
        self.blobs.insert(digest, bytes);
        descriptor
    }

    pub(super) fn manifest(
        &mut self,
        config: Value,
        layers: Vec<Value>,
        annotations: BTreeMap<String, String>,
    ) {
        let mut manifest =
            json!({"schemaVersion": 2, "mediaType": media::OCI_MANIFEST, "config": config, "layers": layers});
        if !annotations.is_empty() {
            canonical::merge(&mut manifest, json!({ "annotations": annotations }));
        }
        self.manifest = canonical::json(manifest);
        self.blobs.insert(self.digest(), self.manifest.clone());
    }

    /// The layout as a tar; `mtime` in seconds since 1970.
    ///
    /// # Errors
    /// [`ImageError::Build`] for a reference that is none.
    pub fn to_tar(&self, reference: &str, mtime: u64) -> Result<Vec<u8>, ImageError> {
        let files = self.files(reference)?;
        write(&files, mtime).map_err(|error| refuse(error.to_string()))
    }

    /// The layout's files by their paths, in order (OCI image layout specification).
    ///
    /// # Errors
    /// [`ImageError::Build`] for a reference that is none.
    pub fn files(&self, reference: &str) -> Result<BTreeMap<String, Cow<'_, [u8]>>, ImageError> {
        let index = canonical::json(json!({
            "schemaVersion": 2,
            "mediaType": media::OCI_INDEX,
            "manifests": [{
                "mediaType": media::OCI_MANIFEST,
                "digest": self.digest().to_string(),
                "size": self.manifest.len(),
                "annotations": {
                    "io.containerd.image.name": reference,
                    "org.opencontainers.image.ref.name": tag(reference)?,
                },
            }],
        }));
        let blobs =
            self.blobs().map(|(digest, bytes)| (format!("blobs/sha256/{}", digest.hex()), bytes.into()));
        let mut files: BTreeMap<String, Cow<'_, [u8]>> = blobs.collect();
        files.insert("index.json".into(), index.into());
        files.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice().into());
        Ok(files)
    }
}

fn write(files: &BTreeMap<String, Cow<'_, [u8]>>, mtime: u64) -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for folder in ["blobs/", "blobs/sha256/"] {
        let mut header = rootfs::header(mtime);
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        tar.append_data(&mut header, folder, io::empty())?;
    }
    for (path, bytes) in files {
        let mut header = rootfs::header(mtime);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes.as_ref())?;
    }
    tar.into_inner()
}

/// The tag of `registry:port/name:tag`. One without a tag is refused: containerd takes names as they are, so that an image
/// imported as `name` is not found as `name:latest`.
fn tag(reference: &str) -> Result<&str, ImageError> {
    let name = reference.rsplit_once('/').map_or(reference, |(_, name)| name);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/' | b':');
    match name.split_once(':') {
        Some((name, tag))
            if !name.is_empty()
                && !tag.is_empty()
                && !tag.contains(':')
                && reference.bytes().all(allowed) =>
        {
            Ok(tag)
        }
        _ => Err(refuse(format!(
            "«{}» is no full name: write registry/name:tag, such as localhost/hello:1",
            reference.escape_debug()
        ))),
    }
}
