//! Reading Wasm.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
pub use builder::project::write_whole;
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
