//! `run-wasm publish`.

use std::io::Write;

use anyhow::{Context, Result};
use builder::registry::Reference;
use semver::Version;
use serde::Serialize;

use super::push::{Layout, Sbom};
use super::{Access, Report};

const HELP: &str = "\
A release 1.2.3 also moves the tags 1.2, 1 and latest, each unless it leads to a newer release; a pre-release moves none. \
A version that is there is never overwritten: to publish the same image again is no error, another one is refused.

Example: run-wasm publish math.tar registry.example/team/math:1.2.3";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    source: Layout,
    /// registry/name:version, with a version of three numbers (semver).
    #[arg(value_name = "REF")]
    reference: Reference,
    #[command(flatten)]
    sbom: Sbom,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Serialize)]
struct Done {
    repository: String,
    digest: String,
    tags: Vec<String>,
    was_there: bool,
    /// The digest of the attached SBOM's manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    sbom: Option<String>,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let repository = self.reference.repository();
        let tag = self.reference.tag().unwrap_or_default();
        let version: Version = tag.parse().with_context(|| {
            format!("«{tag}» is no version: publish as {repository}:1.2.3, or push under any tag by `run-wasm push`")
        })?;
        let source = self.source.open()?;
        let sbom = self.sbom.read(&source)?;
        let client = self.access.client(repository, self.report.progress())?;
        let (published, sbom) = crate::work::run(async {
            let published = client.publish(&source, repository, &version, self.source.mount_from()).await?;
            Ok((published, sbom.attach(&client, repository).await?))
        })?;
        let done = Done {
            repository: repository.to_string(),
            digest: published.digest.to_string(),
            tags: published.tags,
            was_there: published.was_there,
            sbom,
        };
        self.report.write(out, &done, |done| {
            let line = |tag: &String| format!("{}:{tag}@{}\n", done.repository, done.digest);
            done.tags.iter().map(line).collect()
        })
    }
}
