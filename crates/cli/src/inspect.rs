//! `run-wasm inspect`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A component, a module, or WebAssembly text.
    file: PathBuf,
    /// Print JSON in place of the table.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let bytes = crate::files::read_wasm(&self.file)?;
        let seen =
            image::inspect(&bytes).with_context(|| format!("cannot inspect {}", self.file.display()))?;
        if self.json {
            serde_json::to_writer_pretty(&mut *out, &seen)?;
            writeln!(out)?;
        } else {
            write!(out, "{seen}")?;
        }
        Ok(())
    }
}
