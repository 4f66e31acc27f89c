//! A content store: `blobs/sha256/<hex>` in a folder, the form of an OCI layout's and of our cache's.
//!
//! A blob gets its name only when its bytes are verified and on disk, so that several processes can share a store without
//! a lock: who comes second replaces a file by an equal one.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use image::{Descriptor, Digest, Hasher, ImageError};
use tempfile::{Builder, NamedTempFile};

use super::error::RegistryError;
use crate::whole::DRAFT;

/// Drafts that are as old as this are of a process that was killed.
const FORGOTTEN: Duration = Duration::from_secs(2 * 24 * 3600);

/// A folder of verified content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store in `root`, which is made when it is missing.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn open(root: impl Into<PathBuf>) -> Result<Store, RegistryError> {
        let store = Store { root: root.into() };
        let folder = store.folder();
        fs::create_dir_all(&folder).map_err(|error| RegistryError::file(&folder, &error))?;
        sweep(&folder);
        Ok(store)
    }

    /// The cache that all projects of this user share: `$XDG_CACHE_HOME/run-wasm`, or `~/.cache/run-wasm`.
    ///
    /// # Errors
    /// A sentence when no home is known, or with the path that cannot be made.
    pub fn of_user() -> Result<Store, RegistryError> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .ok_or_else(|| {
                RegistryError::Refused("there is no place for the cache: set HOME or XDG_CACHE_HOME".into())
            })?;
        Store::open(cache.join("run-wasm"))
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the blob of this digest is, when it is there.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder().join(digest.hex())
    }

    /// Whether the blob is there and what it should be. One that is damaged counts as absent: the next write replaces it.
    ///
    /// # Errors
    /// A sentence with the file that is there and cannot be read.
    pub fn holds(&self, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        let path = self.path(&descriptor.digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(RegistryError::file(&path, &error)),
        };
        let size = file.metadata().map_err(|error| RegistryError::file(&path, &error))?.len();
        if size != descriptor.size {
            return Ok(false);
        }
        let mut hasher = Hasher::default();
        io::copy(&mut file, &mut hasher).map_err(|error| RegistryError::file(&path, &error))?;
        Ok(hasher.finish() == descriptor.digest)
    }

    /// The bytes of a blob, verified. `limit`: the most bytes it may have.
    ///
    /// # Errors
    /// A sentence with the file that is absent or damaged, or too large.
    pub fn read(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let path = self.path(&descriptor.digest);
        let what = path.display().to_string();
        if descriptor.size > limit {
            let (digest, size) = (descriptor.digest, descriptor.size);
            return Err(RegistryError::of_image(what.clone())(ImageError::TooLarge {
                what: "the blob",
                digest,
                size,
                limit,
            }));
        }
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(descriptor.size.saturating_add(1)).read_to_end(&mut bytes))
            .map_err(|error| RegistryError::file(&path, &error))?;
        descriptor.verify(&bytes).map_err(RegistryError::of_image(what))?;
        Ok(bytes)
    }

    /// Puts bytes there and answers their digest.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn write(&self, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let mut draft = self.draft()?;
        draft.write(bytes)?;
        let digest = Digest::of(bytes);
        draft.finish(digest, bytes.len() as u64, "the blob")?;
        Ok(digest)
    }

    /// Begins a blob that comes piece by piece. When it is dropped unfinished, nothing stays.
    pub(super) fn draft(&self) -> Result<Draft, RegistryError> {
        let folder = self.folder();
        let file = Builder::new()
            .prefix(DRAFT)
            .tempfile_in(&folder)
            .map_err(|error| RegistryError::file(&folder, &error))?;
        Ok(Draft { store: self.clone(), file, hasher: Hasher::default() })
    }

    fn folder(&self) -> PathBuf {
        self.root.join("blobs").join("sha256")
    }
}

/// A blob that is being written.
pub(super) struct Draft {
    store: Store,
    file: NamedTempFile,
    hasher: Hasher,
}

impl Draft {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.hasher.size()
    }

    /// Appends.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        self.file.write_all(bytes).map_err(|error| RegistryError::file(self.file.path(), &error))?;
        self.hasher.update(bytes);
        Ok(())
    }

    /// Begins anew.
    pub fn restart(&mut self) -> Result<(), RegistryError> {
        let file = self.file.as_file_mut();
        let cleared = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
        cleared.map_err(|error| RegistryError::file(self.file.path(), &error))?;
        self.hasher = Hasher::default();
        Ok(())
    }

    /// Verifies the bytes and gives them their name.
    pub fn finish(self, digest: Digest, size: u64, what: &str) -> Result<(), RegistryError> {
        let found = self.hasher.size();
        if found != size {
            let error = ImageError::SizeMismatch { digest, expected: size, found };
            return Err(RegistryError::of_image(what)(error));
        }
        digest.expect(self.hasher.finish()).map_err(RegistryError::of_image(what))?;
        let path = self.store.path(&digest);
        let file = self.file.as_file();
        // On disk before it has its name: a power cut leaves no empty file that passes for a blob.
        file.sync_all()
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o644)))
            .map_err(|error| RegistryError::file(&path, &error))?;
        self.file.persist(&path).map_err(|error| RegistryError::file(&path, &error.error))?;
        Ok(())
    }
}

/// Removes what killed processes left. Nobody misses what cannot be removed.
fn sweep(folder: &Path) {
    let is_old = |entry: &fs::DirEntry| {
        let age = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .map(|time| SystemTime::now().duration_since(time));
        entry.file_name().to_string_lossy().starts_with(DRAFT)
            && matches!(age, Ok(Ok(age)) if age > FORGOTTEN)
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(is_old) {
        drop(fs::remove_file(entry.path()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(bytes: &[u8]) -> Descriptor {
        Descriptor {
            media_type: String::new(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            annotations: Default::default(),
        }
    }

    fn files(store: &Store) -> Vec<String> {
        let entries = fs::read_dir(store.folder()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_is_written_is_read_back_verified() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let blob = descriptor(b"content");
        assert!(!store.holds(&blob).unwrap());
        store.write(b"content").unwrap();
        assert!(store.holds(&blob).unwrap());
        assert_eq!(store.read(&blob, 7).unwrap(), b"content");
        assert!(store.read(&blob, 6).unwrap_err().to_string().contains("the limit is 6"));
    }

    #[test]
    fn a_damaged_blob_counts_as_absent_and_is_never_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let blob = descriptor(b"content");
        store.write(b"content").unwrap();
        for damage in [&b"Content"[..], b"", b"content and more"] {
            fs::write(store.path(&blob.digest), damage).unwrap();
            assert!(!store.holds(&blob).unwrap());
            assert!(store.read(&blob, 100).unwrap_err().to_string().contains(&blob.digest.hex()));
        }
        store.write(b"content").unwrap();
        assert!(store.holds(&blob).unwrap());
    }

    #[test]
    fn an_unfinished_or_wrong_draft_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut draft = store.draft().unwrap();
        draft.write(b"con").unwrap();
        assert_eq!(files(&store).len(), 1);
        drop(draft);
        let mut draft = store.draft().unwrap();
        draft.write(b"contend").unwrap();
        assert!(draft.finish(Digest::of(b"content"), 7, "the layer").is_err());
        assert!(files(&store).is_empty());
    }

    #[test]
    fn a_draft_that_begins_anew_forgets_what_it_had() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut draft = store.draft().unwrap();
        draft.write(b"a longer beginning").unwrap();
        draft.restart().unwrap();
        draft.write(b"content").unwrap();
        draft.finish(Digest::of(b"content"), 7, "the layer").unwrap();
        assert_eq!(store.read(&descriptor(b"content"), 7).unwrap(), b"content");
    }

    #[test]
    fn only_old_drafts_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.write(b"content").unwrap();
        for (name, age) in [(".draft-old", FORGOTTEN * 2), (".draft-new", Duration::ZERO)] {
            let file = File::create(store.folder().join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        Store::open(folder.path()).unwrap();
        let mut left = files(&store);
        left.sort();
        assert_eq!(left, [".draft-new".to_owned(), Digest::of(b"content").hex()]);
    }
}
