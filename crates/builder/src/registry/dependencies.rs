//! What projects depend on, from registries.

use anyhow::{Context, Result};
use async_trait::async_trait;
use image::Digest;
use semver::{Version, VersionReq};

use super::client::Client;
use super::pull::Platforms;
use super::store::Store;
use crate::project;
use crate::reference::Repository;

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
        pulled.component(&store).with_context(|| format!("cannot depend on {reference}"))
    }
}
