//! Writing what was built: whole, or not at all.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::build::Layout;

/// Where an image is written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A tar of an OCI layout, for `ctr images import` and `docker load`.
    Tar(PathBuf),
    /// A folder with an OCI layout. One that is there already is replaced.
    Oci(PathBuf),
}

impl Output {
    /// Writes `layout` as the image `reference`. `created`: seconds since 1970, for the entries of a tar.
    ///
    /// # Errors
    /// A sentence with the path; nothing is left half-written.
    pub fn write(&self, layout: &Layout, reference: &str, created: u64) -> Result<()> {
        match self {
            Output::Tar(path) => write_whole(path, &layout.to_tar(reference, created)?),
            Output::Oci(path) => write_folder(path, layout, reference),
        }
    }
}

/// Writes a file whole, or not at all. What is no regular file (a pipe, a device) is written into.
///
/// # Errors
/// A sentence with the path.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    if path.metadata().is_ok_and(|meta| !meta.is_file()) {
        return fs::OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(bytes))
            .with_context(context);
    }
    let draft = beside(path, "new");
    let written = fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, path));
    written.inspect_err(|_| drop(fs::remove_file(&draft))).with_context(context)
}

fn write_folder(path: &Path, layout: &Layout, reference: &str) -> Result<()> {
    if path.exists() && !path.join("oci-layout").is_file() && !is_empty(path) {
        bail!("{} is there and no OCI layout: remove it, or name another folder", path.display());
    }
    let files = layout.files(reference)?;
    let (draft, old) = (beside(path, "new"), beside(path, "old"));
    let written = (|| {
        fs::create_dir(&draft)?;
        fs::create_dir_all(draft.join("blobs/sha256"))?;
        for (name, bytes) in &files {
            fs::write(draft.join(name), bytes)?;
        }
        if path.exists() {
            fs::rename(path, &old)?;
        }
        fs::rename(&draft, path)
    })();
    if written.is_err() {
        drop(fs::remove_dir_all(&draft));
        if !path.exists() {
            drop(fs::rename(&old, path));
        }
    }
    drop(fs::remove_dir_all(&old));
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// A name beside `path` that no other process uses.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.{what}", std::process::id()));
    path.with_file_name(name)
}
