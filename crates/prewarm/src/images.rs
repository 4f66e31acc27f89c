//! Which images there is something to compile of.

use anyhow::{Result, bail};
use image::config::Process;
use image::manifest::{ARCHITECTURE, MAX_DEPTH};
use image::{Descriptor, Digest, Document, Manifest, WasmImage};

use crate::containerd::Containerd;

/// An image whose layers are Wasm.
#[derive(Debug)]
pub struct Wasm {
    /// Of its manifest.
    pub digest: Digest,
    /// What the image runs when nobody says otherwise; it names the Wasm where there is more than one.
    pub args: Vec<String>,
}

/// Looks at an image. `None` where there is nothing to compile before it has a root file system, or no image any more.
///
/// # Errors
/// A sentence about an image that is broken, or has more than `most` bytes of Wasm.
pub async fn wasm(containerd: &Containerd, name: &str, most: u64) -> Result<Option<Wasm>> {
    let Some(target) = containerd.target(name).await? else { return Ok(None) };
    let Some(manifest) = manifest(containerd, target).await? else { return Ok(None) };
    let layers = match manifest.wasm(most)? {
        WasmImage::Layers(layers) => layers,
        WasmImage::Artifact(layer) => vec![layer],
        WasmImage::None => return Ok(None),
    };
    // Those that are linked are compiled as one.
    let size = layers.iter().fold(0, |size: u64, layer| size.saturating_add(layer.size));
    if size > most {
        bail!("it has {size} bytes of Wasm, and more than {most} are left to the first start");
    }
    let config = containerd.document(&manifest.config).await?;
    Ok(Some(Wasm { digest: manifest.digest, args: args(&config) }))
}

/// `None` for what is no image, as signatures are, or none for this node.
async fn manifest(containerd: &Containerd, target: Descriptor) -> Result<Option<Manifest>> {
    let mut wanted = target;
    for _ in 0..=MAX_DEPTH {
        let bytes = containerd.document(&wanted).await?;
        match image::manifest::parse(&bytes, &wanted.media_type)? {
            Document::Manifest(manifest) => return Ok(Some(manifest)),
            Document::Index(index) => match index.pick(ARCHITECTURE) {
                Ok(entry) => wanted = entry.clone(),
                Err(_) => return Ok(None),
            },
        }
    }
    bail!("its indexes are nested deeper than {MAX_DEPTH}")
}

/// What an image's config says that it runs. One file alone runs by any name.
fn args(config: &[u8]) -> Vec<String> {
    let process = Process::parse(config).unwrap_or_default();
    let mut args = process.entrypoint.unwrap_or_default();
    args.extend(process.cmd.unwrap_or_default());
    if args.is_empty() { vec!["/".to_owned()] } else { args }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_runs_its_entrypoint_with_its_command() {
        let of = |config: &str| args(config.as_bytes()).join(" ");
        assert_eq!(of(r#"{"config":{"Entrypoint":["/app.wasm"],"Cmd":["serve"]}}"#), "/app.wasm serve");
        assert_eq!(of(r#"{"config":{"Entrypoint":null,"Cmd":["/app.wasm"]}}"#), "/app.wasm");
        for silent in ["{}", r#"{"config":null}"#, r#"{"config":{"Entrypoint":7}}"#, "", "[]"] {
            assert_eq!(of(silent), "/", "{silent}");
        }
    }
}
