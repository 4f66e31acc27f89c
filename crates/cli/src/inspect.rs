//! `run-wasm inspect`: of a Wasm file, what it is and needs; of a container, what it is and was given.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::output::{Output, age, cell, list};
use crate::records::{self, Record, STATE, now};
use crate::registry::Access;
use crate::shims::Shims;
use crate::source;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A component, a module, or WebAssembly text; an image as a tar or a folder; an image in a registry; or a container of
    /// this node, by its id or the start of it.
    #[arg(value_name = "FILE|TAR|DIR|REF|CONTAINER")]
    what: PathBuf,
    /// Tell the grants alone: of a container those that it was given, of Wasm those that a pod may have to give.
    #[arg(long)]
    grants: bool,
    #[command(flatten)]
    output: Output,
    /// Where the shims keep their state.
    #[arg(long, value_name = "DIR", default_value = STATE)]
    state: PathBuf,
    #[command(flatten)]
    access: Access,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        match self.what.to_str().filter(|name| !self.what.exists() && records::may_be_an_id(name)) {
            Some(container) => {
                let record = records::find(&self.state, container)
                    .with_context(|| format!("there is no file {}", self.what.display()))?;
                match self.grants {
                    true => self.output.write(out, &Given { grants: record.grants.as_deref() }, Given::text),
                    false => self.output.write(out, &record.judged(&mut Shims::new()?), text),
                }
            }
            None => self.file(&self.what, out),
        }
    }

    fn file(&self, file: &Path, out: &mut impl Write) -> Result<()> {
        let wasm = source::open(file, &self.access)?.wasm;
        let seen = image::inspect(&wasm).with_context(|| format!("cannot inspect {}", file.display()))?;
        let needs = image::Need::of(&seen);
        let may_need: Vec<MayNeed> = needs
            .into_iter()
            .map(|(need, because)| MayNeed { need, because, example: need.example() })
            .collect();
        let grants = crate::scaffold::grants(&seen);
        if self.grants {
            return self.output.write(out, &may_need, |_| grants);
        }
        let table = format!("{seen}{grants}");
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

/// The table of grants that the shim of a container recorded when it was created.
#[derive(Serialize)]
struct Given<'a> {
    grants: Option<&'a str>,
}

impl Given<'_> {
    fn text(&self) -> String {
        let none =
            "none: it is native or the sandbox of a pod, or its shim is of a release that records none\n";
        self.grants.unwrap_or(none).to_owned()
    }
}

fn text(record: &Record) -> String {
    let given = Given { grants: record.grants.as_deref() };
    format!("{}\ngrants:\n{}", list(&described(record)), given.text())
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
