//! `run-wasm build`: a project becomes an image.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use builder::project::{self, Format, Options, Output};
use builder::registry::{self, Client, Dependencies};
use builder::sbom;
use clap::ValueEnum;
use serde::Serialize;

use crate::pack::created;
use crate::registry::Report;

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
    /// Believe these authorities' certificates (PEM) of registries, too. Those on the loopback are spoken to without TLS.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    #[command(flatten)]
    report: Report,
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
struct Built<'a> {
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
        let teller = self.report.progress();
        let tell = teller.clone();
        let registries = registry::Options { ca_file: self.ca_file, ..registry::Options::default() };
        let source = Dependencies(Client::new(registries, teller)?);
        let built =
            crate::work::run(project::build(&self.dir, &source, &options, move |event| tell.step(event)))?;
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
            builder::whole::write(file, document)?;
        }
        let files = outputs.iter().map(path).chain(self.sbom.as_deref());
        let written: Vec<String> = files.map(|path| path.display().to_string()).collect();
        let digest = built.digest();
        let result = Built { image: &built.tag, digest, written };
        self.report.write(out, &result, |result| format!("{}@{digest}\n", result.image))?;
        self.report.note(&format!("written to {}", result.written.join(" and ")));
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
