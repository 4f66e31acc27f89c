//! What projects depend on, from registries.

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use image::compose::MAX_COMPONENT;
use image::{Digest, WasmImage};
use semver::{Version, VersionReq};

use super::client::Client;
use super::pull::Platforms;
use super::reference::Repository;
use super::store::Store;
use crate::project;

/// A project's source of components: what is pulled stays in the store that all projects share.
#[derive(Debug)]
pub struct Dependencies(pub Client);

#[async_trait]
impl project::Source for Dependencies {
    async fn resolve(&self, repository: &str, wanted: &VersionReq) -> Result<(Version, Digest)> {
        let resolved = self.0.resolve(&repository.parse()?, wanted).await?;
        Ok((resolved.version, resolved.digest))
    }

    async fn fetch(&self, repository: &str, digest: &Digest) -> Result<Vec<u8>> {
        let repository: Repository = repository.parse()?;
        let reference = repository.with_digest(*digest);
        // Made when it is needed: most projects depend on nothing.
        let store = Store::of_user()?;
        let pulled = self.0.pull(&reference, Platforms::Best, &store).await?;
        let wasm = pulled.manifest.wasm(MAX_COMPONENT).with_context(|| reference.to_string())?;
        let layer = match wasm {
            WasmImage::Artifact(layer) => layer,
            WasmImage::Layers(layers) => match <[_; 1]>::try_from(layers) {
                Ok([layer]) => layer,
                Err(layers) => bail!(
                    "{reference} has {} Wasm layers, and a dependency is one component: publish it in the format image or artifact",
                    layers.len()
                ),
            },
            WasmImage::None => bail!("{reference} holds no Wasm: depend on a component"),
        };
        Ok(store.read(&layer, MAX_COMPONENT)?)
    }
}
