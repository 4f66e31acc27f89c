//! What the commands that talk to registries have in common.

mod progress;
pub mod publish;
pub mod pull;
pub mod push;
pub mod sign;
pub mod tags;
pub mod verify;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use builder::registry::{Client, Options, Progress, Reference, RegistryError, Repository, Silent};
use image::Digest;
use serde::Serialize;

#[derive(Debug, Clone, clap::Args)]
pub struct Access {
    /// Speak to the registry without TLS. On the loopback that is the default.
    #[arg(long)]
    plain_http: bool,
    /// Believe these authorities' certificates (PEM), too; also makes the loopback speak TLS.
    #[arg(long, value_name = "FILE", conflicts_with = "plain_http")]
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Report {
    /// Write the result as JSON to stdout, and progress as lines of JSON to stderr.
    #[arg(long)]
    json: bool,
    /// Do not tell of progress.
    #[arg(long, short)]
    quiet: bool,
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
    pub fn progress(self) -> Arc<dyn Progress> {
        match (self.quiet, self.json, io::stderr().is_terminal()) {
            (true, ..) => Arc::new(Silent),
            (_, true, _) => Arc::new(progress::Json),
            (.., true) => Arc::new(progress::Bars::default()),
            (.., false) => Arc::new(progress::Lines),
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

/// Runs what waits for the network. SIGINT and SIGTERM end it in order, so that no draft stays behind.
pub fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            result = work => result,
            _ = terminate.recv() => bail!("interrupted by SIGTERM"),
            _ = interrupt.recv() => bail!("interrupted"),
        }
    });
    // A credential helper that still waits for its user holds nobody up.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    result
}
