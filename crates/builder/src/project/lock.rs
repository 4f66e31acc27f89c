//! `run.lock.toml`: what a build was made of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, bail};
use image::Digest;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::file::{Project, read_text};
use super::problem;

/// The name of the lock.
pub const LOCK_FILE: &str = "run.lock.toml";

/// The form of the file that this release writes.
const FORM: u32 = 1;

const HEAD: &str = "# Written by `run-wasm build`: what the image was made of. Keep it in version control, beside run.toml.\n";

/// Everything that an image depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    form: u32,
    /// A digest of each part of `run.toml`.
    pub project: BTreeMap<String, Digest>,
    /// What each program told of its version.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, String>,
    pub components: BTreeMap<String, Locked>,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Of the Wasm.
    pub digest: Digest,
    /// Where it was pulled from, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
}

/// One version in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    pub repository: String,
    pub version: Version,
    /// The digest of its manifest.
    pub manifest: Digest,
}

impl Lock {
    /// What `project` and its toolchains are now, without the components.
    ///
    /// # Errors
    /// None that a checked project could cause.
    pub fn new(project: &Project, tools: BTreeMap<String, String>) -> Result<Lock> {
        let mut parts = BTreeMap::new();
        for (name, value) in [
            ("name", serde_json::to_value(&project.name)?),
            ("version", serde_json::to_value(&project.version)?),
            ("world", serde_json::to_value(project.world)?),
            ("components", serde_json::to_value(&project.components)?),
            ("graph", serde_json::to_value(&project.graph)?),
            ("run", serde_json::to_value(&project.run)?),
            ("output", serde_json::to_value(&project.output)?),
            ("annotations", serde_json::to_value(&project.annotations)?),
            ("labels", serde_json::to_value(&project.labels)?),
        ] {
            parts.insert(name.to_owned(), Digest::of(&image::build::canonical_json(value)));
        }
        Ok(Lock { form: FORM, project: parts, tools, components: BTreeMap::new() })
    }

    /// Reads a lock, if there is one.
    ///
    /// # Errors
    /// `file:line: sentence` for one that this release cannot read.
    pub fn read(path: &Path) -> Result<Option<Lock>> {
        let Some(text) = read_text(path)? else { return Ok(None) };
        Lock::parse(path, &text).map(Some)
    }

    /// Reads the text of a lock. `path` is for the errors.
    ///
    /// # Errors
    /// As [`Lock::read`].
    pub fn parse(path: &Path, text: &str) -> Result<Lock> {
        let lock: Lock = toml::from_str(text).map_err(|error| {
            problem::of_toml(path, text, &error)
                .context("the lock is damaged, or of another release: remove it and build again")
        })?;
        if lock.form != FORM {
            bail!(
                "{} has the form {}, and this release knows {FORM} only: build with a newer one",
                path.display(),
                lock.form
            );
        }
        Ok(lock)
    }

    /// The file's text.
    ///
    /// # Errors
    /// None that a lock could cause.
    pub fn text(&self) -> Result<String> {
        Ok(format!("{HEAD}{}", toml::to_string(self)?))
    }

    /// What `now` has otherwise in `run.toml` and its toolchains: known before anything is built.
    pub fn changes_before(&self, now: &Lock) -> Vec<String> {
        let mut changes = Vec::new();
        for (part, digest) in &now.project {
            if self.project.get(part) != Some(digest) {
                changes.push(format!("«{part}» of run.toml"));
            }
        }
        for tool in self.tools.keys().chain(now.tools.keys()).collect::<BTreeSet<_>>() {
            let shown = |tools: &BTreeMap<String, String>| {
                tools.get(tool).map_or("none".into(), |line| format!("«{line}»"))
            };
            if self.tools.get(tool) != now.tools.get(tool) {
                changes.push(format!("{tool} ({} instead of {})", shown(&now.tools), shown(&self.tools)));
            }
        }
        changes.iter().map(|change| problem::tame(change)).collect()
    }

    /// What `now` has otherwise in its components.
    pub fn changes_in_components(&self, now: &Lock) -> Vec<String> {
        let mut changes = Vec::new();
        for name in self.components.keys().chain(now.components.keys()).collect::<BTreeSet<_>>() {
            match (self.components.get(name), now.components.get(name)) {
                (Some(old), Some(new)) if old == new => {}
                (Some(old), Some(new)) if old.digest != new.digest => {
                    changes.push(format!("the Wasm of «{name}» ({} instead of {})", new.digest, old.digest));
                }
                (Some(_), Some(_)) => changes.push(format!("the origin of «{name}»")),
                (None, _) => changes.push(format!("«{name}», which is new")),
                (_, None) => changes.push(format!("«{name}», which is gone")),
            }
        }
        changes.iter().map(|change| problem::tame(change)).collect()
    }
}

/// Refuses drift.
pub fn refuse(changes: &[String]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    bail!(
        "{LOCK_FILE} was made with another input: {} changed; undo that, or build without --locked",
        changes.join(", ")
    )
}
