//! `run-wasm push`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use builder::registry::{Reference, Source};
use builder::sbom;
use serde::Serialize;

use super::{Access, Report};

/// Blobs that the registry has are not sent again; the tag is set last, so that it never leads to half an image.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Credentials are docker's: `docker login`, or whatever writes ~/.docker/config.json.\n\n\
                        Example: run-wasm push hello.tar registry.example/team/hello:1.2.3"
)]
pub struct Args {
    /// An OCI layout: a folder or a tar, such as `run-wasm image` writes.
    #[arg(value_name = "LAYOUT")]
    source: PathBuf,
    /// Where to: registry/name:tag. Without a tag, only the digest leads to it.
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Attach an SBOM to the image (SPDX 2 in JSON), such as `run-wasm build --sbom` writes.
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
    #[command(flatten)]
    pub pick: Pick,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Pick {
    /// Which image of a layout that has several: its tag, full name or digest.
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// A repository of the same registry that may have some of the layers already; may be repeated.
    #[arg(long, value_name = "PATH")]
    mount_from: Vec<String>,
}

impl Pick {
    pub fn source(&self, path: &std::path::Path) -> Result<Source> {
        Ok(Source::open(path, self.image.as_deref())?)
    }

    pub fn mount_from(&self) -> &[String] {
        &self.mount_from
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
        let source = self.pick.source(&self.source)?;
        let image = source.root().digest;
        let sbom = self.sbom.as_ref().map(|path| sbom::read(path, &image)).transpose()?;
        let repository = self.reference.repository();
        let client = self.access.client(repository, self.report.progress())?;
        let (digest, sbom) = super::run(async {
            let digest = client.push(&source, &self.reference, self.pick.mount_from()).await?;
            let sbom = match sbom {
                Some(document) => {
                    Some(client.attach(repository, source.root(), sbom::attachment(document)).await?)
                }
                None => None,
            };
            Ok((digest, sbom))
        })?;
        let pushed = Pushed {
            reference: super::with_digest(&self.reference, &digest),
            digest: digest.to_string(),
            sbom: sbom.map(|digest| digest.to_string()),
        };
        self.report.write(out, &pushed, |pushed| format!("{}\n", pushed.reference))
    }
}
