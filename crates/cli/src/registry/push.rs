//! `run-wasm push`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use builder::registry::{Client, Reference, Repository, Source};
use builder::sbom;
use serde::Serialize;

use super::{Access, Report};

const HELP: &str = "\
Blobs that the registry has are not sent again. The tag is set last, so that it never leads to half an image.

Credentials are docker's: `docker login`, or whatever else writes ~/.docker/config.json ($DOCKER_CONFIG).

Example: run-wasm push hello.tar registry.example/team/hello:1.2.3";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    source: Layout,
    /// Where to: registry/name:tag. Without a tag, only the digest leads to it.
    #[arg(value_name = "REF")]
    reference: Reference,
    #[command(flatten)]
    sbom: Sbom,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    report: Report,
}

/// An image to send.
#[derive(Debug, Clone, clap::Args)]
pub struct Layout {
    /// An OCI layout: a folder or a tar, such as `run-wasm image` writes.
    #[arg(value_name = "LAYOUT")]
    path: PathBuf,
    /// Which image of a layout that has several: its tag, full name or digest.
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// A repository of the same registry that may have some of the layers already; may be repeated.
    #[arg(long, value_name = "PATH")]
    mount_from: Vec<String>,
}

impl Layout {
    pub fn open(&self) -> Result<Source> {
        Ok(Source::open(&self.path, self.image.as_deref())?)
    }

    pub fn mount_from(&self) -> &[String] {
        &self.mount_from
    }
}

/// What an image is made of, beside it.
#[derive(Debug, Clone, clap::Args)]
pub struct Sbom {
    /// Attach an SBOM to the image (SPDX 2 in JSON), such as `run-wasm build --sbom` writes.
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
}

/// An SBOM that has been read, and the image that it is of.
pub struct Document {
    bytes: Option<Vec<u8>>,
    subject: image::Descriptor,
}

impl Sbom {
    /// Before anything is sent: one of another image is refused.
    pub fn read(&self, source: &Source) -> Result<Document> {
        let subject = source.root().clone();
        let bytes = self.sbom.as_ref().map(|path| sbom::read(path, &subject.digest)).transpose()?;
        Ok(Document { bytes, subject })
    }
}

impl Document {
    /// Attaches it to the image, which the repository has. Answers the digest of its manifest.
    pub async fn attach(self, client: &Client, repository: &Repository) -> Result<Option<String>> {
        let Some(bytes) = self.bytes else { return Ok(None) };
        let digest = client.attach(repository, &self.subject, sbom::attachment(bytes)).await?;
        Ok(Some(digest.to_string()))
    }
}

#[derive(Debug, Serialize)]
struct Pushed {
    reference: String,
    digest: String,
    /// The digest of the attached SBOM's manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    sbom: Option<String>,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let source = self.source.open()?;
        let sbom = self.sbom.read(&source)?;
        let repository = self.reference.repository();
        let client = self.access.client(repository, self.report.progress())?;
        let (digest, sbom) = crate::work::run(async {
            let digest = client.push(&source, &self.reference, self.source.mount_from()).await?;
            Ok((digest, sbom.attach(&client, repository).await?))
        })?;
        let pushed = Pushed {
            reference: super::with_digest(&self.reference, &digest),
            digest: digest.to_string(),
            sbom,
        };
        self.report.write(out, &pushed, |pushed| format!("{}\n", pushed.reference))
    }
}
