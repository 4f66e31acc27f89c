//! The component that an image amounts to, wherever the image is.

use anyhow::{Context, Result, bail};
use image::compose::MAX_COMPONENT;
use image::manifest::{ARCHITECTURE, MAX_DEPTH, MAX_DOCUMENT};
use image::{Descriptor, Document, ImageConfig, Manifest, component, manifest};

use super::pull::Pulled;
use super::source::Source;
use super::store::Store;

impl Pulled {
    /// Its only Wasm layer, or its layers linked. `store` has it.
    ///
    /// # Errors
    /// A sentence.
    pub fn component(&self, store: &Store) -> Result<Vec<u8>> {
        of_image(&self.manifest, |blob, limit| Ok(store.read(blob, limit)?))
    }
}

impl Source {
    /// Its only Wasm layer, or its layers linked; of an index, those of the entry that runs here.
    ///
    /// # Errors
    /// A sentence with the path.
    pub fn component(&self) -> Result<Vec<u8>> {
        of_image(&self.image()?, |blob, limit| Ok(self.blob(blob, limit)?))
    }

    fn image(&self) -> Result<Manifest> {
        let mut descriptor = self.root().clone();
        for _ in 0..=MAX_DEPTH {
            match manifest::parse(&self.document(&descriptor)?, &descriptor.media_type)? {
                Document::Manifest(manifest) => return Ok(manifest),
                Document::Index(index) => descriptor = index.pick(ARCHITECTURE)?.clone(),
            }
        }
        bail!("the image {} is nested more than {MAX_DEPTH} indexes deep", self.root().digest)
    }
}

fn of_image(
    manifest: &Manifest,
    mut read: impl FnMut(&Descriptor, u64) -> Result<Vec<u8>>,
) -> Result<Vec<u8>> {
    let config = ImageConfig::parse(&read(&manifest.config, MAX_DOCUMENT)?)?;
    component::of_image(manifest, &config, |layer| read(layer, MAX_COMPONENT))
        .with_context(|| format!("the image {}", manifest.digest))
}
