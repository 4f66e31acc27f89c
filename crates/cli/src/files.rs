//! Reading Wasm, and writing results that are whole or absent.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use image::Kind;

/// The largest file that is read, in bytes.
const MAX_WASM: u64 = 1 << 30;

/// Reads a module or component; WebAssembly text is assembled.
///
/// # Errors
/// A sentence with the path, when it cannot be read, is too large, or is no Wasm.
pub fn read_wasm(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    file.take(MAX_WASM + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > MAX_WASM {
        bail!("{shown} has more than {MAX_WASM} bytes: no Wasm of that size can be run");
    }
    match image::sniff(&bytes) {
        Kind::Component | Kind::Module => Ok(bytes),
        Kind::Wat => {
            let assembled = wat::parse_bytes(&bytes)
                .with_context(|| format!("{shown} is no correct WebAssembly text"))?;
            Ok(assembled.into_owned())
        }
        Kind::Precompiled => bail!(
            "{shown} is {}: give the .wasm file that it was compiled from",
            Kind::Precompiled.describe()
        ),
        other => bail!("{shown} is {}: give a WebAssembly component or module", other.describe()),
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
    let draft = draft_of(path);
    let written = fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, path));
    written.inspect_err(|_| drop(fs::remove_file(&draft))).with_context(context)
}

/// A name beside `path` that no other process uses.
fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}
