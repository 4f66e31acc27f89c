//! Where the components of others come from.

use anyhow::Result;
use async_trait::async_trait;
use image::Digest;
use semver::{Version, VersionReq};

/// Components by name and version.
#[async_trait]
pub trait Source: Send + Sync {
    /// The highest version of `repository` that satisfies `wanted`, with the digest of its manifest.
    ///
    /// # Errors
    /// A sentence that names the repository and the versions that there are.
    async fn resolve(&self, repository: &str, wanted: &VersionReq) -> Result<(Version, Digest)>;

    /// The Wasm of the image with this manifest, verified against it.
    ///
    /// # Errors
    /// A sentence that names the repository.
    async fn fetch(&self, repository: &str, digest: &Digest) -> Result<Vec<u8>>;
}
