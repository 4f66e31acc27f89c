//! `run-wasm inspect`: of a Wasm file, what it is and needs; of a container, what it was given.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::records::{self, Record, STATE};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A component, a module, or WebAssembly text.
    #[arg(required_unless_present = "grants")]
    file: Option<PathBuf>,
    /// Print JSON in place of the table.
    #[arg(long, conflicts_with = "grants")]
    json: bool,
    /// Print what a container of this node was given when it was created, by its id or the start of it.
    #[arg(long, value_name = "CONTAINER", conflicts_with = "file")]
    grants: Option<String>,
    /// Where the shims keep their state.
    #[arg(long, value_name = "DIR", default_value = STATE, requires = "grants")]
    state: PathBuf,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        match (&self.grants, &self.file) {
            (Some(container), _) => Ok(out.write_all(grants(container, &self.state)?.as_bytes())?),
            (None, Some(file)) => inspect(file, self.json, out),
            (None, None) => bail!("name a file, or a container with --grants"),
        }
    }
}

fn inspect(file: &Path, json: bool, out: &mut impl Write) -> Result<()> {
    let bytes = crate::files::read_wasm(file)?;
    let seen = image::inspect(&bytes).with_context(|| format!("cannot inspect {}", file.display()))?;
    if json {
        serde_json::to_writer_pretty(&mut *out, &seen)?;
        writeln!(out)?;
    } else {
        write!(out, "{seen}")?;
    }
    Ok(())
}

/// The table that the container's shim recorded.
fn grants(container: &str, state: &Path) -> Result<String> {
    let records = records::all(state)?;
    let exact: Vec<&Record> = records.iter().filter(|record| record.id == container).collect();
    let found = match exact.is_empty() {
        false => exact,
        true => records.iter().filter(|record| record.id.starts_with(container)).collect(),
    };
    let shown = container.escape_debug();
    match found.as_slice() {
        [] => bail!("run-wasm has no container {shown} on this node: `run-wasm ps` lists those that it has"),
        [one] => one.grants.clone().with_context(|| {
            format!("{shown} has no grants: it is the sandbox of a pod, or its shim is of a release that records none")
        }),
        [_, ..] => {
            let ids: Vec<String> =
                found.iter().map(|record| format!("{}/{}", record.namespace, record.id)).collect();
            bail!("{shown} could be any of {}: name one of them whole", ids.join(", ").escape_debug())
        }
    }
}
