//! `run-wasm install`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use builder::project::{self, Wish};
use builder::registry::{self, Client, Dependencies};
use serde::Serialize;

use crate::registry::Report;

const HELP: &str = "\
run.toml keeps its comments and its order. What was pulled stays in the cache that all projects share.

Examples:
  run-wasm install registry.example/ns/math@^1.2
  run-wasm install";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// registry/name@^1.2, registry/name:1.2.3, or registry/name for its newest release. Without it, all that run.toml names is
    /// installed.
    #[arg(value_name = "DEPENDENCY")]
    wish: Option<Wish>,
    /// The folder with run.toml.
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The component's name in run.toml. Default: the last part of the dependency's.
    #[arg(long, requires = "wish")]
    name: Option<String>,
    /// Take the newest versions that run.toml allows instead of those in run.lock.toml.
    #[arg(long)]
    update: bool,
    /// Believe these authorities' certificates (PEM) of registries, too. Those on the loopback are spoken to without TLS.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Serialize)]
struct Done {
    repository: String,
    version: String,
    manifest: String,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let registries = registry::Options { ca_file: self.ca_file, ..registry::Options::default() };
        let teller = self.report.progress();
        let tell = teller.clone();
        let source = Dependencies(Client::new(registries, teller)?);
        let tell = move |event: &_| tell.step(event);
        let (wish, name) = (self.wish.as_ref(), self.name.as_deref());
        let installed =
            crate::work::run(project::install(&self.dir, wish, name, self.update, &source, tell))?;
        if self.report.json {
            let done = installed.into_iter().map(|(name, pin)| {
                let (version, manifest) = (pin.version.to_string(), pin.manifest.to_string());
                (name, Done { repository: pin.repository, version, manifest })
            });
            serde_json::to_writer(&mut *out, &done.collect::<BTreeMap<_, _>>())?;
            writeln!(out)?;
        } else {
            for (name, pin) in installed {
                writeln!(out, "{name} {}:{}@{}", pin.repository, pin.version, pin.manifest)?;
            }
        }
        Ok(())
    }
}
