//! What the commands that talk to registries have in common.

pub mod publish;
pub mod pull;
pub mod push;
pub mod sign;
pub mod tags;
pub mod verify;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use builder::registry::{Client, Options, Progress, Reference, RegistryError, Repository};
use image::Digest;
use serde::Serialize;

use crate::progress::{Bars, Teller};

#[derive(Debug, Clone, clap::Args)]
pub struct Access {
    /// Speak to the registry without TLS. On the loopback that is the default.
    #[arg(long)]
    plain_http: bool,
    /// Believe these authorities' certificates (PEM), too; also makes the loopback speak TLS.
    #[arg(long, value_name = "FILE", conflicts_with = "plain_http")]
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Report {
    /// Write the result as JSON to stdout, and progress as lines of JSON to stderr.
    #[arg(long)]
    pub json: bool,
    /// Do not tell of progress.
    #[arg(long, short)]
    pub quiet: bool,
}

impl Access {
    /// A client for this registry.
    pub fn client(
        &self,
        repository: &Repository,
        progress: Arc<dyn Progress>,
    ) -> Result<Client, RegistryError> {
        let plain = self.plain_http.then(|| repository.registry().to_owned());
        let options = Options {
            plain_http: plain.into_iter().collect(),
            ca_file: self.ca_file.clone(),
            ..Options::default()
        };
        Client::new(options, progress)
    }
}

impl Report {
    /// How progress is told: as bars on a terminal, as lines elsewhere, as JSON when asked.
    pub fn progress(self) -> Arc<Teller> {
        Arc::new(match (self.quiet, self.json, io::stderr().is_terminal()) {
            (true, ..) => Teller::Silent,
            (_, true, _) => Teller::Json,
            (.., true) => Teller::Bars(Bars::default()),
            (.., false) => Teller::Lines,
        })
    }

    /// Tells people something beside the result.
    pub fn note(self, line: &str) {
        if !self.json && !self.quiet {
            eprintln!("{line}");
        }
    }

    /// Writes the result.
    pub fn write<T: Serialize>(
        self,
        out: &mut impl Write,
        result: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        if self.json {
            serde_json::to_writer(&mut *out, result)?;
            writeln!(out)?;
        } else {
            out.write_all(text(result).as_bytes())?;
        }
        Ok(())
    }
}

/// The name of an image that was found: its tag, if it has one, and its digest.
fn with_digest(reference: &Reference, digest: &Digest) -> String {
    match reference.tag() {
        Some(tag) => format!("{}:{tag}@{digest}", reference.repository()),
        None => format!("{}@{digest}", reference.repository()),
    }
}
