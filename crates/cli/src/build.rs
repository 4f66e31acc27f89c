//! `run-wasm build`: a project becomes an image.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use builder::project::{self, Event, Format, Options, Output, write_whole};
use builder::registry::{self, Client, Dependencies, Silent};
use builder::sbom;
use clap::ValueEnum;
use serde::Serialize;

use crate::pack::created;

/// Builds, composes and packs what the folder's run.toml says, and keeps run.lock.toml.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The same input gives the same image. The environment variable SOURCE_DATE_EPOCH sets the time of creation."
)]
pub struct Args {
    /// The folder with run.toml.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Refuse whatever differs from run.lock.toml, and leave that as it is.
    #[arg(long)]
    locked: bool,
    /// Take the newest versions of dependencies instead of those in run.lock.toml.
    #[arg(long, conflicts_with = "locked")]
    update: bool,
    /// Where to write the image; may be repeated. Default: tar:DIR/NAME.tar.
    #[arg(long, short, value_name = "tar:FILE|oci:DIR", value_parser = output)]
    output: Vec<Output>,
    /// Also write what the image is made of: an SBOM, as SPDX 2.3 in JSON.
    #[arg(long, value_name = "FILE")]
    sbom: Option<PathBuf>,
    /// How to pack, in place of what run.toml says.
    #[arg(long, value_enum)]
    format: Option<PackAs>,
    /// Write the result as JSON to stdout, and progress as lines of JSON to stderr.
    #[arg(long)]
    json: bool,
    /// Believe these authorities' certificates (PEM) of registries, too. Those on the loopback are spoken to without TLS.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Do not tell of progress.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PackAs {
    /// One component in an OCI image: runs everywhere.
    Image,
    /// One component in a CNCF Wasm artifact: for CRI and registries.
    Artifact,
    /// Components as layers, linked where they run.
    Layers,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    image: &'a str,
    digest: image::Digest,
    written: Vec<String>,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let options = Options {
            locked: self.locked,
            update: self.update,
            format: self.format.map(Format::from),
            created: created()?,
        };
        let tell = progress(self.quiet, self.json);
        let registries = registry::Options { ca_file: self.ca_file, ..registry::Options::default() };
        let source = Dependencies(Client::new(registries, Arc::new(Silent))?);
        let built = crate::registry::run(project::build(&self.dir, &source, &options, tell))?;
        let default = || vec![Output::Tar(self.dir.join(format!("{}.tar", built.project.name)))];
        let sbom = match &self.sbom {
            Some(file) => Some((file, sbom::document(&built)?)),
            None => None,
        };
        let outputs = if self.output.is_empty() { default() } else { self.output };
        for output in &outputs {
            built.write(output)?;
        }
        if let Some((file, document)) = &sbom {
            write_whole(file, document)?;
        }
        let files = outputs.iter().map(path).chain(self.sbom.as_deref());
        let written: Vec<String> = files.map(|path| path.display().to_string()).collect();
        let digest = built.digest();
        if self.json {
            serde_json::to_writer(&mut *out, &Report { image: &built.tag, digest, written })?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}@{digest}", built.tag)?;
            if !self.quiet {
                eprintln!("written to {}", written.join(" and "));
            }
        }
        Ok(())
    }
}

impl From<PackAs> for Format {
    fn from(format: PackAs) -> Format {
        match format {
            PackAs::Image => Format::Image,
            PackAs::Artifact => Format::Artifact,
            PackAs::Layers => Format::Layers,
        }
    }
}

fn output(text: &str) -> Result<Output, String> {
    match text.split_once(':') {
        Some(("tar", path)) if !path.is_empty() => Ok(Output::Tar(path.into())),
        Some(("oci", path)) if !path.is_empty() => Ok(Output::Oci(path.into())),
        _ => Err("write it as tar:FILE or oci:DIR".into()),
    }
}

fn path(output: &Output) -> &Path {
    match output {
        Output::Tar(path) | Output::Oci(path) => path,
    }
}

/// What a command that failed said is told in any case: nobody could tell why it failed without it.
pub fn progress(quiet: bool, json: bool) -> impl Fn(&Event) + Send + Sync + 'static {
    move |event| match event {
        _ if json && !quiet => {
            if let Ok(line) = serde_json::to_string(event) {
                eprintln!("{line}");
            }
        }
        Event::Failed { component, output } => {
            for line in output.lines() {
                eprintln!("{component} | {}", tame(line));
            }
        }
        _ if quiet => {}
        event => eprintln!("{}", line(event)),
    }
}

fn line(event: &Event) -> String {
    match event {
        Event::Building { component } => format!("{component}: building"),
        Event::Built { component, milliseconds } => {
            format!("{component}: built in {}.{:01} s", milliseconds / 1000, milliseconds % 1000 / 100)
        }
        Event::Failed { component, .. } => format!("{component}: failed"),
        Event::Resolving { component, repository } => {
            format!("{component}: looking for versions in {repository}")
        }
        Event::Pulling { component, version } => format!("{component}: pulling {version}"),
        Event::Composed { components: 1, bytes, .. } => format!("one component, {bytes} bytes"),
        Event::Composed { components, links, bytes } => {
            format!("composed {components} components by {links} links, {bytes} bytes")
        }
    }
}

/// Colours stay, as compilers write them; nothing else steers a terminal.
fn tame(line: &str) -> String {
    line.chars().filter(|char| *char == '\t' || *char == '\u{1b}' || !char.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_says_what_it_is() {
        assert_eq!(output("tar:a/b.tar"), Ok(Output::Tar("a/b.tar".into())));
        assert_eq!(output("oci:x:y"), Ok(Output::Oci("x:y".into())));
        assert!(["x.tar", "tar:", "zip:x", ""].into_iter().all(|text| output(text).is_err()));
    }
}
