//! `run-wasm scaffold`: YAML to begin with.

mod yaml;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use image::compose::Component;
use image::{Document, ImageConfig, Inspection, WasmImage, manifest};
use serde::Deserialize;

/// The largest file of a layout that is read, in bytes.
const MAX_BLOB: u64 = 1 << 30;

/// Writes YAML that runs a component with the least grants: what it may need besides stands there as a comment.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A component or module, or a folder with an OCI layout, as `run-wasm build --output oci:DIR` makes it.
    #[arg(value_name = "FILE|DIR")]
    what: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Full name of the image. Default: what the layout says, or localhost/<file>:1.
    #[arg(long, value_name = "REF")]
    image: Option<String>,
    /// What the objects are called. Default: the last part of the image's name.
    #[arg(long)]
    name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Kind {
    #[default]
    Pod,
    Deployment,
    /// A Deployment and the Service before it.
    Service,
    Job,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let shown = self.what.display();
        let (wasm, found) = match self.what.is_dir() {
            true => layout(&self.what)?,
            false => (crate::files::read_wasm(&self.what)?, None),
        };
        let seen = image::inspect(&wasm).with_context(|| format!("cannot inspect {shown}"))?;
        let image = match self.image.or(found) {
            Some(image) => image,
            None => format!("localhost/{}:1", label(&stem(&self.what)?)?),
        };
        let name = match self.name {
            Some(name) => label(&name)?,
            None => label(
                image.rsplit('/').next().and_then(|name| name.split([':', '@']).next()).unwrap_or_default(),
            )?,
        };
        out.write_all(yaml::text(self.kind, &name, &image, &seen)?.as_bytes())?;
        Ok(())
    }
}

fn stem(path: &Path) -> Result<String> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    Ok(stem.with_context(|| format!("{} has no name in UTF-8: rename it", path.display()))?.to_owned())
}

/// A name that Kubernetes takes (RFC 1123 label).
fn label(name: &str) -> Result<String> {
    let label: String = name
        .to_lowercase()
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() { char } else { '-' })
        .take(63)
        .collect();
    let label = label.trim_matches('-');
    if label.is_empty() {
        bail!("«{}» makes no name for Kubernetes: give one by --name", name.escape_debug());
    }
    Ok(label.to_owned())
}

/// What the image of a layout runs, linked if it has to be, and its name.
fn layout(folder: &Path) -> Result<(Vec<u8>, Option<String>)> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<image::Descriptor>,
    }
    let context = || format!("{} is no OCI layout of one image", folder.display());
    let index: Index = serde_json::from_slice(&read(&folder.join("index.json"))?).with_context(context)?;
    let [only] = index.manifests.as_slice() else { bail!(context()) };
    let blob = |descriptor: &image::Descriptor| -> Result<Vec<u8>> {
        let bytes = read(&folder.join("blobs/sha256").join(descriptor.digest.hex()))?;
        descriptor.verify(&bytes)?;
        Ok(bytes)
    };
    let Document::Manifest(image) = manifest::parse(&blob(only)?, &only.media_type)? else {
        bail!(context())
    };
    let config = ImageConfig::parse(&blob(&image.config)?)?;
    let layers = match image.wasm(MAX_BLOB)? {
        WasmImage::Layers(layers) => layers,
        WasmImage::Artifact(layer) => vec![layer],
        WasmImage::None => bail!("the image in {} has no layer of Wasm", folder.display()),
    };
    let name = only.annotations.get("io.containerd.image.name").cloned();
    let Some(plan) = config.composition else {
        let first = layers.first().with_context(context)?;
        return Ok((blob(first)?, name));
    };
    let mut parts = BTreeMap::new();
    for layer in &layers {
        parts.insert(layer.title().unwrap_or_default().to_owned(), blob(layer)?);
    }
    let components: Vec<Component<'_>> =
        parts.iter().map(|(name, bytes)| Component { name, bytes }).collect();
    Ok((plan.compose(&components)?, name))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let context = || format!("cannot read {}", path.display());
    let size = std::fs::metadata(path).with_context(context)?.len();
    if size > MAX_BLOB {
        bail!("{} has {size} bytes; the limit is {MAX_BLOB}", path.display());
    }
    std::fs::read(path).with_context(context)
}

/// What may be needed, for the table of `inspect`.
pub fn grants(seen: &Inspection) -> String {
    let mut text = String::new();
    for (at, (need, why)) in image::Need::of(seen).into_iter().enumerate() {
        let title = if at == 0 { "may need" } else { "" };
        text.push_str(&format!("{title:<10} {}  # {}\n", need.example(), why.escape_debug()));
    }
    match text.is_empty() {
        true => format!("{:<10} no grant\n", "may need"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_to_fit_kubernetes() {
        assert_eq!(label("Hello_World.v2").unwrap(), "hello-world-v2");
        assert_eq!(label("-a-").unwrap(), "a");
        assert_eq!(label(&"x".repeat(80)).unwrap().len(), 63);
        assert!(label("___").unwrap_err().to_string().contains("--name"));
    }
}
