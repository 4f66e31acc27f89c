//! `run-wasm tags`.

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use builder::registry::{Repository, Silent, sorted};

use super::Access;
use crate::output::Output;

const HELP: &str = "\
Words come first, then versions, the newest first.

Example: run-wasm tags registry.example/team/math";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// registry/name
    #[arg(value_name = "REPOSITORY")]
    repository: Repository,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    access: Access,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let client = self.access.client(&self.repository, Arc::new(Silent))?;
        let tags = sorted(crate::work::run(async { Ok(client.tags(&self.repository).await?) })?);
        self.output.write(out, &tags, |tags| tags.iter().map(|tag| format!("{tag}\n")).collect())
    }
}
