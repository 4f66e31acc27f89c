//! `run-wasm compose`: components become one, without a project.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use builder::project;
use clap::ValueEnum;
use image::compose::{self, Choice, Component, Providers, Target, Wiring};
use serde::Serialize;

use crate::registry::Report;

/// Links components into one. The first is the root: what it exports, the result does.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The root component; or a .wac file, which says itself what is linked.
    #[arg(value_name = "ROOT.wasm|FILE.wac")]
    root: PathBuf,
    /// A component that serves the root and the plugs before it; may be repeated. Of a .wac file: NS:NAME=FILE.
    #[arg(long, value_name = "FILE.wasm")]
    plug: Vec<String>,
    /// Give an import of a component by an export of another; may be repeated. Components are called as their files.
    #[arg(long, value_name = "TO:IMPORT=FROM[#EXPORT]", value_parser = link)]
    link: Vec<Choice>,
    /// What the result must be.
    #[arg(long, value_enum)]
    world: Option<World>,
    /// Where to write the component.
    #[arg(long, short, value_name = "OUT.wasm")]
    output: PathBuf,
    #[command(flatten)]
    report: Report,
}

#[derive(Debug, Serialize)]
struct Done {
    written: String,
    digest: image::Digest,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum World {
    /// wasi:cli/command
    Command,
    /// wasi:http/proxy
    Server,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let bytes = match self.root.extension().is_some_and(|extension| extension == "wac") {
            true => self.by_wac()?,
            false => self.by_plugs()?,
        };
        crate::work::write(&self.output, &bytes)?;
        let done = Done { written: self.output.display().to_string(), digest: image::Digest::of(&bytes) };
        self.report.write(out, &done, |done| format!("{} {}\n", done.written, done.digest))
    }

    fn by_plugs(&self) -> Result<Vec<u8>> {
        let mut files = vec![(crate::source::stem(&self.root)?, builder::wasm::read(&self.root)?)];
        for plug in &self.plug {
            let path = Path::new(plug);
            files.push((crate::source::stem(path)?, builder::wasm::read(path)?));
        }
        let components: Vec<Component<'_>> =
            files.iter().map(|(name, bytes)| Component { name, bytes }).collect();
        let mut names = files.iter().map(|(name, _)| name.clone());
        let wiring = Wiring {
            root: names.next().unwrap_or_default(),
            choices: self.link.clone(),
            providers: Providers::InOrder(names.collect()),
        };
        let target = match self.world {
            None => Target::Any,
            Some(World::Command) => Target::Command,
            Some(World::Server) => Target::Server,
        };
        Ok(compose::compose(&components, &wiring, target)?.bytes)
    }

    fn by_wac(&self) -> Result<Vec<u8>> {
        if !self.link.is_empty() || self.world.is_some() {
            bail!("a .wac file says itself what is linked: leave --link and --world out");
        }
        let mut packages = BTreeMap::new();
        for plug in &self.plug {
            let (name, file) = plug.split_once('=').with_context(|| {
                format!("«{plug}» must be NS:NAME=FILE, the name that the .wac file has for it")
            })?;
            packages.insert(name.to_owned(), builder::wasm::read(Path::new(file))?);
        }
        project::compose_wac(&self.root, &packages)
    }
}

fn link(text: &str) -> Result<Choice, String> {
    let wrong = || "write it as TO:IMPORT=FROM or TO:IMPORT=FROM#EXPORT".to_owned();
    let (left, right) = text.split_once('=').ok_or_else(wrong)?;
    let (to, import) = left.split_once(':').ok_or_else(wrong)?;
    let (from, export) = match right.split_once('#') {
        Some((from, export)) => (from, Some(export.to_owned())),
        None => (right, None),
    };
    if to.is_empty() || import.is_empty() || from.is_empty() {
        return Err(wrong());
    }
    Ok(Choice { to: to.into(), import: import.into(), from: from.into(), export })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_both_ends() {
        let choice = link("app:docs:math/add@0.1.0=math#docs:maths/add@0.1.2").unwrap();
        assert_eq!((choice.to.as_str(), choice.import.as_str()), ("app", "docs:math/add@0.1.0"));
        assert_eq!((choice.from.as_str(), choice.export.as_deref()), ("math", Some("docs:maths/add@0.1.2")));
        assert!(["", "a=b", "a:=b", "a:b=", ":b=c"].into_iter().all(|text| link(text).is_err()));
    }
}
