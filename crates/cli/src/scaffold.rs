//! `run-wasm scaffold`: YAML to begin with.

mod yaml;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use image::Inspection;

use crate::registry::Access;
use crate::source;

/// Writes YAML that runs a component with the least grants: what it may need besides stands there as a comment.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A component or module; an image as a tar or a folder, such as `run-wasm build` writes; or an image in a registry.
    #[arg(value_name = "FILE|TAR|DIR|REF")]
    what: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Full name of the image. Default: that of the image that was named, or localhost/<file>:1.
    #[arg(long, value_name = "REF")]
    image: Option<String>,
    /// What the objects are called. Default: the last part of the image's name.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Kind {
    #[default]
    Pod,
    Deployment,
    /// A Deployment and the Service before it.
    Service,
    Job,
}

impl Args {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let shown = self.what.display();
        let found = source::open(&self.what, &self.access)?;
        let seen = image::inspect(&found.wasm).with_context(|| format!("cannot inspect {shown}"))?;
        let image = match self.image.or(found.image) {
            Some(image) => image,
            None => format!("localhost/{}:1", label(&source::stem(&self.what)?)?),
        };
        let name = match self.name {
            Some(name) => label(&name)?,
            None => label(
                image.rsplit('/').next().and_then(|name| name.split([':', '@']).next()).unwrap_or_default(),
            )?,
        };
        out.write_all(yaml::text(self.kind, &name, &image, &seen)?.as_bytes())?;
        Ok(())
    }
}

/// A name that Kubernetes takes (RFC 1123 label).
fn label(name: &str) -> Result<String> {
    let label: String = name
        .to_lowercase()
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() { char } else { '-' })
        .take(63)
        .collect();
    let label = label.trim_matches('-');
    if label.is_empty() {
        bail!("«{}» makes no name for Kubernetes: give one by --name", name.escape_debug());
    }
    Ok(label.to_owned())
}

/// What may be needed, for the table of `inspect`.
pub fn grants(seen: &Inspection) -> String {
    let mut text = String::new();
    for (at, (need, why)) in image::Need::of(seen).into_iter().enumerate() {
        let title = if at == 0 { "may need" } else { "" };
        text.push_str(&format!("{title:<10} {}  # {}\n", need.example(), why.escape_debug()));
    }
    match text.is_empty() {
        true => format!("{:<10} no grant\n", "may need"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_to_fit_kubernetes() {
        assert_eq!(label("Hello_World.v2").unwrap(), "hello-world-v2");
        assert_eq!(label("-a-").unwrap(), "a");
        assert_eq!(label(&"x".repeat(80)).unwrap().len(), 63);
        assert!(label("___").unwrap_err().to_string().contains("--name"));
    }
}
