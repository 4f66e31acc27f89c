//! Wasm as users name it: a file, an image as a folder or a tar, or an image in a registry.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use builder::registry::{Platforms, Reference, Source, Store};

use crate::registry::{Access, Report};

/// What somebody wants to look at.
#[derive(Debug)]
pub struct Found {
    /// A component or module; of an image whose layers are linked, all of them together.
    pub wasm: Vec<u8>,
    /// The full name of the image, where there is one.
    pub image: Option<String>,
}

/// Reads it. What is no file or folder is an image in a registry, which is pulled.
///
/// # Errors
/// A sentence with the path or reference.
pub fn open(what: &Path, access: &Access) -> Result<Found> {
    if !what.exists() {
        let reference = what.to_str().and_then(|text| text.parse::<Reference>().ok());
        if let Some(reference) = reference {
            return pulled(&reference, access);
        }
    }
    if !what.is_dir() && !is_tar(what)? {
        return Ok(Found { wasm: builder::wasm::read(what)?, image: None });
    }
    let source = Source::open(what, None)?;
    let wasm = source.component().with_context(|| what.display().to_string())?;
    Ok(Found { wasm, image: source.name_of_image().map(str::to_owned) })
}

fn pulled(reference: &Reference, access: &Access) -> Result<Found> {
    let store = Store::of_user()?;
    let client = access.client(reference.repository(), Report::default().progress())?;
    let wasm = crate::work::run(async {
        let pulled = client.pull(reference, Platforms::Best, &store).await?;
        pulled.component(&store).with_context(|| reference.to_string())
    })?;
    Ok(Found { wasm, image: Some(reference.to_string()) })
}

/// By the mark of POSIX in the first header.
fn is_tar(path: &Path) -> Result<bool> {
    const MARK: std::ops::Range<usize> = 257..262;
    let mut head = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    // A pipe is read once.
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    file.take(512).read_to_end(&mut head).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(head.get(MARK).is_some_and(|mark| mark == b"ustar"))
}

/// A file's name without its ending.
pub fn stem(path: &Path) -> Result<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    Ok(stem.with_context(|| format!("{} has no name in UTF-8: rename it", path.display()))?.to_owned())
}
