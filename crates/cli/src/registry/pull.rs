//! `run-wasm pull`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use builder::registry::{Platforms, Reference, Store};
use serde::Serialize;

use super::{Access, Report};

const HELP: &str = "\
What is pulled is verified, and stays in a cache that all projects share ($XDG_CACHE_HOME/run-wasm, or ~/.cache/run-wasm).

Example: run-wasm pull registry.example/team/hello:1.2.3 -o hello.tar && ctr images import hello.tar";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// registry/name:tag, registry/name@digest, or both, where the digest decides.
    #[arg(value_name = "REF")]
    reference: Reference,
    /// Also write an OCI layout: a tar when the name ends in .tar, a folder otherwise. A folder keeps the other images that it
    /// has.
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Of an index, pull the images for all platforms. By default, only the one that runs here, Wasm before native.
    #[arg(long)]
    all_platforms: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Serialize)]
struct Done {
    reference: String,
    /// What the reference names.
    digest: String,
    /// The manifest to run: another one than `digest` when that is an index.
    image: String,
    media_type: String,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let store = Store::of_user()?;
        let client = self.access.client(self.reference.repository(), self.report.progress())?;
        let platforms = if self.all_platforms { Platforms::All } else { Platforms::Best };
        let pulled = crate::work::run(async { Ok(client.pull(&self.reference, platforms, &store).await?) })?;
        if let Some(path) = &self.output {
            let root = if self.all_platforms { &pulled.root } else { &pulled.image };
            let is_tar = path.extension().is_some_and(|extension| extension == "tar");
            let write = if is_tar { Store::to_tar } else { Store::to_folder };
            write(&store, path, &self.reference, root, &pulled.content)?;
        }
        let done = Done {
            reference: super::with_digest(&self.reference, &pulled.root.digest),
            digest: pulled.root.digest.to_string(),
            image: pulled.image.digest.to_string(),
            media_type: pulled.root.media_type,
        };
        self.report.write(out, &done, |done| format!("{}\n", done.reference))
    }
}
