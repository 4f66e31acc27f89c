//! Writing what was built: whole, or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::build::Layout;

use crate::whole;

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
            Output::Tar(path) => whole::write(path, &layout.to_tar(reference, created)?),
            Output::Oci(path) => write_folder(path, layout, reference),
        }
    }
}

fn write_folder(path: &Path, layout: &Layout, reference: &str) -> Result<()> {
    if path.exists() && !path.join("oci-layout").is_file() && !is_empty(path) {
        bail!("{} is there and no OCI layout: remove it, or name another folder", path.display());
    }
    let files = layout.files(reference)?;
    let files = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_ref()));
    whole::replace_folder(path, files).with_context(|| format!("cannot write {}", path.display()))
}

fn is_empty(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}
