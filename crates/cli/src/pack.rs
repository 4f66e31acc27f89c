//! `run-wasm image`: the simple packer.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use image::ImageBuilder;
use serde::Serialize;

use crate::registry::Report;

/// The result is the same for the same files and options. SOURCE_DATE_EPOCH sets the time of creation (default: 1970).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The same input gives the same bytes. The environment variable SOURCE_DATE_EPOCH sets the time of creation."
)]
pub struct Args {
    /// Full name of the image: registry/name:tag.
    #[arg(long, value_name = "REF")]
    name: String,
    /// What to run: /<file>, or /<file>#<function>. Default: the first file.
    #[arg(long, value_name = "PATH")]
    entrypoint: Option<String>,
    /// An argument for when the container is given none; may be repeated.
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    args: Vec<String>,
    /// An environment variable; may be repeated.
    #[arg(long, value_name = "K=V", value_parser = variable)]
    env: Vec<(String, String)>,
    /// uid or uid:gid to run as.
    #[arg(long)]
    user: Option<String>,
    /// How to pack.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Where to write the tar; - is stdout.
    #[arg(long, short, value_name = "FILE.tar", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    report: Report,
    /// Components or modules (WebAssembly text is assembled).
    #[arg(required = true, value_name = "FILE.wasm")]
    files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// An OCI image with Wasm layers: runs everywhere.
    #[default]
    Image,
    /// A CNCF Wasm artifact: one file, for CRI and registries.
    Artifact,
    /// An ordinary Linux image with the files in its rootfs.
    Rootfs,
}

#[derive(Debug, Serialize)]
struct Packed<'a> {
    image: &'a str,
    digest: image::Digest,
    written: String,
}

impl From<Format> for image::Format {
    fn from(format: Format) -> image::Format {
        match format {
            Format::Image => image::Format::Image,
            Format::Artifact => image::Format::Artifact,
            Format::Rootfs => image::Format::Rootfs,
        }
    }
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let to_stdout = self.output == Path::new("-");
        if to_stdout && io::stdout().is_terminal() {
            bail!(
                "an image is no text for a terminal: name a file with --output, or pipe it into `ctr images import -`"
            );
        }
        let created = created()?;
        let layout = self.builder()?.created(created).build()?;
        let tar = layout.to_tar(&self.name, created)?;
        if to_stdout {
            out.write_all(&tar)?;
        } else {
            crate::work::write(&self.output, &tar)?;
            let (image, digest) = (self.name.as_str(), layout.digest());
            let written = self.output.display().to_string();
            let packed = Packed { image, digest, written };
            self.report.write(out, &packed, |packed| format!("{}@{}\n", packed.image, packed.digest))?;
        }
        Ok(())
    }

    fn builder(&self) -> Result<ImageBuilder> {
        let mut builder = ImageBuilder::new().format(self.format.into()).cmd(&self.args);
        for file in &self.files {
            builder = builder.wasm(title(file)?, builder::wasm::read(file)?);
        }
        for (name, value) in &self.env {
            builder = builder.env(name, value);
        }
        if let Some(entrypoint) = &self.entrypoint {
            builder = builder.entrypoint([entrypoint]);
        }
        if let Some(user) = &self.user {
            builder = builder.user(user);
        }
        Ok(builder)
    }
}

/// What a file is called in the image. Text is assembled, so that it is called `.wasm`.
pub fn title(file: &Path) -> Result<String> {
    let name = file.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("{} has no name in UTF-8: rename it", file.display()))?;
    Ok(match name.strip_suffix(".wat") {
        Some(stem) => format!("{stem}.wasm"),
        None => name.into(),
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

/// The time of creation, in seconds since 1970.
pub fn created() -> Result<u64> {
    source_date_epoch(std::env::var("SOURCE_DATE_EPOCH").ok().as_deref())
}

fn source_date_epoch(value: Option<&str>) -> Result<u64> {
    match value {
        None | Some("") => Ok(0),
        Some(text) => text.parse().with_context(|| {
            format!("SOURCE_DATE_EPOCH is «{text}» and must be a number of seconds since 1970")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_text_is_called_wasm_in_the_image() {
        assert_eq!(title(Path::new("a/hello.wat")).unwrap(), "hello.wasm");
        assert_eq!(title(Path::new("a/hello.wasm")).unwrap(), "hello.wasm");
        assert!(title(Path::new("/")).is_err());
    }

    #[test]
    fn the_time_of_creation_is_a_number_or_refused() {
        assert_eq!(source_date_epoch(None).unwrap(), 0);
        assert_eq!(source_date_epoch(Some("1735689600")).unwrap(), 1_735_689_600);
        assert!(source_date_epoch(Some("yesterday")).unwrap_err().to_string().contains("SOURCE_DATE_EPOCH"));
    }
}
