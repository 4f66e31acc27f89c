//! `run-wasm inspect`: of a Wasm file, what it is and needs; of a container, what it is and was given.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::output::{Output, age, cell, list};
use crate::records::{self, Record, STATE, now};
use crate::shims::Shims;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A component, a module, or WebAssembly text; or a container of this node, by its id or the start of it.
    #[arg(value_name = "FILE|CONTAINER")]
    what: PathBuf,
    #[command(flatten)]
    output: Output,
    /// Where the shims keep their state.
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        match self.what.to_str().filter(|name| !self.what.exists() && records::may_be_an_id(name)) {
            Some(container) => {
                let record = records::find(&self.state, container)
                    .with_context(|| format!("there is no file {}", self.what.display()))?;
                self.output.write(out, &record.judged(&mut Shims::default()), text)
            }
            None => self.file(&self.what, out),
        }
    }

    fn file(&self, file: &Path, out: &mut impl Write) -> Result<()> {
        let bytes = crate::files::read_wasm(file)?;
        let seen = image::inspect(&bytes).with_context(|| format!("cannot inspect {}", file.display()))?;
        let needs = image::Need::of(&seen);
        let may_need = needs
            .into_iter()
            .map(|(need, because)| MayNeed { need, because, example: need.example() })
            .collect();
        let table = format!("{seen}{}", crate::scaffold::grants(&seen));
        self.output.write(out, &Looked { seen, may_need }, |_| table)
    }
}

/// A file, and what a pod that runs it may have to give.
#[derive(Serialize)]
struct Looked {
    #[serde(flatten)]
    seen: image::Inspection,
    may_need: Vec<MayNeed>,
}

#[derive(Serialize)]
struct MayNeed {
    need: image::Need,
    because: String,
    example: &'static str,
}

/// A container, and the table of grants that its shim recorded when it was created.
fn text(record: &Record) -> String {
    let none = "none: it is native or the sandbox of a pod, or its shim is of a release that records none\n";
    format!("{}\ngrants:\n{}", list(&described(record)), record.grants.as_deref().unwrap_or(none))
}

/// What is on record of a container, a line each.
pub fn described(record: &Record) -> Vec<(&'static str, String)> {
    let or_none = |text: &Option<String>| cell(text.as_deref().unwrap_or_default());
    let mut rows = vec![
        ("namespace", cell(&record.namespace)),
        ("id", cell(&record.id)),
        ("pod", or_none(&record.pod)),
        ("image", or_none(&record.image)),
        ("code", or_none(&record.code)),
        ("mode", cell(&record.mode)),
        ("status", cell(&record.status)),
        ("age", age(now().saturating_sub(record.created))),
        ("shim pid", record.shim_pid.to_string()),
        ("host pid", record.host.as_ref().map_or("-".to_owned(), |host| host.pid.to_string())),
        ("bundle", cell(&record.bundle.to_string_lossy())),
    ];
    rows.extend(record.cgroups.iter().map(|cgroup| ("cgroup", cell(&cgroup.to_string_lossy()))));
    rows
}
