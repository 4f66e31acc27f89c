//! From the store to an OCI layout: a folder or a tar that `ctr images import` takes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use image::build::canonical_json;
use image::manifest::MAX_DOCUMENT;
use image::{Descriptor, ImageError, media};
use serde_json::{Map, Value, json};

use super::error::RegistryError;
use super::store::Store;
use crate::reference::Reference;
use crate::whole;

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
/// The annotations of an entry of an index with its tag, and with the full name of the image.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
pub(super) const FULL_NAME: &str = "io.containerd.image.name";

impl Store {
    /// Writes an image into an OCI layout folder, beside the images that it holds; one of the same name is replaced. `root`
    /// is what the layout's index leads to, `content` all that belongs to it.
    ///
    /// # Errors
    /// A sentence with the path. The layout's index is then what it was.
    pub fn to_folder(
        &self,
        folder: &Path,
        reference: &Reference,
        root: &Descriptor,
        content: &[Descriptor],
    ) -> Result<(), RegistryError> {
        let file = folder.join("index.json");
        let mut entries = present(folder, &file)?;
        let target = Store::open(folder)?;
        for blob in content {
            if !target.holds(blob)? {
                let mut draft = target.draft()?;
                self.copy(blob, |piece| draft.write(piece))?;
                draft.finish(blob.digest, blob.size, &folder.display().to_string())?;
            }
        }
        let entry = entry(reference, root);
        let name = |entry: &Value| entry.pointer("/annotations").and_then(|map| map.get(FULL_NAME)).cloned();
        entries.retain(|other| name(other).is_none() || name(other) != name(&entry));
        entries.push(entry);
        write_whole(&folder.join("oci-layout"), |file| file.write_all(LAYOUT))?;
        write_whole(&file, |file| file.write_all(&index(entries)))
    }

    /// Writes an image as a tar of an OCI layout, whole or not at all. The same image gives the same bytes.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn to_tar(
        &self,
        path: &Path,
        reference: &Reference,
        root: &Descriptor,
        content: &[Descriptor],
    ) -> Result<(), RegistryError> {
        let mut blobs: Vec<&Descriptor> = content.iter().collect();
        blobs.sort_by_key(|blob| blob.digest);
        blobs.dedup_by_key(|blob| blob.digest);
        for blob in &blobs {
            if !self.holds(blob)? {
                return Err(RegistryError::Refused(format!(
                    "{} is gone from the cache: pull again",
                    blob.digest
                )));
            }
        }
        write_whole(path, |file| {
            let mut tar = tar::Builder::new(io::BufWriter::new(file));
            for folder in ["blobs/", "blobs/sha256/"] {
                let mut header = header(0);
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                tar.append_data(&mut header, folder, io::empty())?;
            }
            for blob in &blobs {
                let name = format!("blobs/sha256/{}", blob.digest.hex());
                let content = File::open(self.path(&blob.digest))?.take(blob.size);
                tar.append_data(&mut header(blob.size), name, content)?;
            }
            let index = index(vec![entry(reference, root)]);
            for (name, bytes) in [("index.json", index.as_slice()), ("oci-layout", LAYOUT)] {
                tar.append_data(&mut header(bytes.len() as u64), name, bytes)?;
            }
            tar.into_inner()?.flush()
        })
    }

    /// Reads a blob piece by piece.
    fn copy(
        &self,
        blob: &Descriptor,
        mut each: impl FnMut(&[u8]) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let path = self.path(&blob.digest);
        let refuse = |error: io::Error| RegistryError::file(&path, &error);
        let mut file = File::open(&path).map_err(refuse)?.take(blob.size);
        let mut piece = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut piece).map_err(refuse)?;
            if count == 0 {
                return Ok(());
            }
            each(piece.get(..count).unwrap_or_default())?;
        }
    }
}

fn index(entries: Vec<Value>) -> Vec<u8> {
    canonical_json(json!({"schemaVersion": 2, "mediaType": media::OCI_INDEX, "manifests": entries}))
}

fn entry(reference: &Reference, root: &Descriptor) -> Value {
    let mut annotations = Map::from_iter([(FULL_NAME.to_owned(), json!(reference.to_string()))]);
    if let Some(tag) = reference.tag() {
        annotations.insert(REF_NAME.into(), json!(tag));
    }
    json!({
        "mediaType": root.media_type,
        "digest": root.digest.to_string(),
        "size": root.size,
        "annotations": annotations,
    })
}

/// The entries of the layout that is there. A folder of other things is not made one.
fn present(folder: &Path, file: &Path) -> Result<Vec<Value>, RegistryError> {
    let refuse = |why: String| RegistryError::File { path: file.into(), why };
    let mut bytes = Vec::new();
    match File::open(file).and_then(|open| open.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_empty = fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
            let is_cut = folder.join("blobs").is_dir();
            return if is_empty || is_cut {
                Ok(Vec::new())
            } else {
                let why = "it holds other things and no OCI layout: name a new folder".into();
                Err(RegistryError::File { path: folder.into(), why })
            };
        }
        Err(error) => return Err(RegistryError::file(file, &error)),
    }
    image::manifest::parse(&bytes, media::OCI_INDEX)
        .map_err(|error: ImageError| refuse(error.to_string()))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| refuse(error.to_string()))?;
    Ok(value.get("manifests").and_then(Value::as_array).cloned().unwrap_or_default())
}

fn write_whole(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), RegistryError> {
    whole::replace(path, fill).map_err(|error| RegistryError::file(path, &error))
}

/// A header without traces of the machine that writes it.
fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}
