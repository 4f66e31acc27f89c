//! `run.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::problem;
use crate::reference::{Reference, Repository};

mod raw;

use raw::Raw;

/// The largest `run.toml` or lock that is read, in bytes.
pub const MAX_FILE: u64 = 1 << 20;

/// What a project's file says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub name: String,
    pub version: Version,
    pub world: World,
    /// By their names. Never empty.
    pub components: BTreeMap<String, Component>,
    pub graph: Graph,
    pub run: Run,
    pub output: Out,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Labels of the image config.
    pub labels: BTreeMap<String, String>,
}

/// What the composed component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
pub enum World {
    /// Whatever the root exports.
    #[default]
    #[serde(skip_deserializing)]
    Any,
    #[serde(rename = "command", alias = "wasi:cli/command")]
    Command,
    #[serde(rename = "server", alias = "wasi:http/proxy")]
    Server,
}

/// How the image is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One component in an OCI image.
    #[default]
    Image,
    /// One component in a Wasm artifact.
    Artifact,
    /// All components as layers of an OCI image, linked where it runs.
    Layers,
}

/// A component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    pub from: Origin,
    /// The folder that paths and the build command are relative to; relative to the project.
    pub dir: String,
    pub language: Option<String>,
    /// Programs whose versions the lock holds, besides those of the language.
    pub tools: Vec<String>,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A file that is there.
    Path(String),
    /// A file that a command of the shell makes.
    Build { command: String, output: String },
    /// A registry.
    Registry { repository: String, wanted: VersionReq },
}

/// How the components are linked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// The component whose exports are the image's. Needed where there are several.
    pub root: Option<String>,
    /// Each serves the root and those before it; without it, whoever can serves.
    pub plug: Option<Vec<String>>,
    /// By consumer and import.
    #[serde(default)]
    pub links: BTreeMap<String, BTreeMap<String, Choice>>,
}

/// The provider of an import: `"math"`, or `{ from = "math", export = "docs:maths/add" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    pub from: String,
    pub export: Option<String>,
}

/// What a container has when its pod says nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    #[serde(default)]
    pub args: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    pub user: Option<String>,
}

/// What is made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Out {
    #[serde(default)]
    pub format: Format,
    /// The full name; without it, `localhost/<name>:<version>`.
    pub tag: Option<String>,
}

impl Project {
    /// Reads and checks a project's file. `path` is for the errors.
    ///
    /// # Errors
    /// `file:line: sentence` with the cure.
    pub fn parse(path: &Path, text: &str) -> Result<Project> {
        let raw: Raw = toml::from_str(text).map_err(|error| problem::of_toml(path, text, &error))?;
        let span = |name: &str| {
            let (key, _) = raw.components.get_key_value(name)?;
            Some(key.span())
        };
        let refuse = |name: &str, why: &str| problem::at(path, text, span(name), why);
        if raw.components.is_empty() {
            let why = "there is no component: add [components.NAME] with a path, a build command or from";
            return Err(problem::at(path, text, None, why));
        }
        let mut components = BTreeMap::new();
        for (name, component) in &raw.components {
            let name = name.get_ref();
            let sentence = |why: String| refuse(name, &format!("component «{name}»: {why}"));
            if !is_name(name) {
                return Err(sentence("its name must be of letters, digits, - and _".into()));
            }
            components.insert(name.clone(), component.clone().checked(name).map_err(sentence)?);
        }
        // It is the image's, and a file's.
        let name = raw.name.get_ref();
        if name.contains('/') || format!("localhost/{name}").parse::<Repository>().is_err() {
            let why = "name must be of lower-case letters and digits, with single . _ or - between them";
            return Err(problem::at(path, text, Some(raw.name.span()), why));
        }
        let project = Project {
            name: raw.name.into_inner(),
            version: raw.version,
            world: raw.world,
            components,
            graph: raw.graph,
            run: raw.run,
            output: raw.output,
            annotations: raw.annotations,
            labels: raw.labels,
        };
        project.check_names().map_err(|why| problem::at(path, text, None, &why))?;
        project.check_tag().map_err(|why| problem::at(path, text, None, &why))?;
        Ok(project)
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// As [`Project::parse`].
    pub fn read(path: &Path) -> Result<Project> {
        let text = read_text(path)?.with_context(|| {
            format!("there is no {}: write one, as docs/run-toml.md says", path.display())
        })?;
        Project::parse(path, &text)
    }

    /// The component whose exports are the image's.
    pub fn root(&self) -> &str {
        let only = || self.components.keys().next().map(String::as_str).unwrap_or_default();
        self.graph.root.as_deref().unwrap_or_else(only)
    }

    /// The image's full name.
    pub fn tag(&self) -> String {
        self.output.tag.clone().unwrap_or_else(|| {
            // A tag has no `+`, which build metadata begins with.
            format!("localhost/{}:{}", self.name, self.version.to_string().replace('+', "-"))
        })
    }

    /// Here rather than after all has been built.
    fn check_tag(&self) -> Result<(), String> {
        let reference: Reference = self.tag().parse().map_err(|error| format!("output.tag: {error}"))?;
        match (reference.tag(), reference.digest()) {
            (Some(_), None) => Ok(()),
            _ => Err("output.tag must be a full name, such as registry.example/ns/name:1.0.0".into()),
        }
    }

    fn check_names(&self) -> Result<(), String> {
        let known: Vec<&str> = self.components.keys().map(String::as_str).collect();
        if self.graph.root.is_none() && known.len() > 1 {
            return Err(format!("graph.root must say which of {} is run", known.join(", ")));
        }
        let plugs = self.graph.plug.iter().flatten().map(|name| ("graph.plug", name));
        let consumers = self.graph.links.keys().map(|name| ("graph.links", name));
        let providers = self.graph.links.values().flat_map(|links| links.values());
        let providers = providers.map(|choice| ("graph.links", &choice.from));
        let root = self.graph.root.iter().map(|name| ("graph.root", name));
        for (key, name) in root.chain(plugs).chain(consumers).chain(providers) {
            if !self.components.contains_key(name) {
                return Err(match problem::nearest(name, &known) {
                    Some(near) => format!("{key} names «{name}»: did you mean «{near}»?"),
                    None => format!("{key} names «{name}», and there are only {}", known.join(", ")),
                });
            }
        }
        Ok(())
    }
}

/// A text file, or `None` where there is none.
pub fn read_text(path: &Path) -> Result<Option<String>> {
    let context = || format!("cannot read {}", path.display());
    let size = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        meta => meta.with_context(context)?.len(),
    };
    if size > MAX_FILE {
        anyhow::bail!("{} has {size} bytes; the limit is {MAX_FILE}", path.display());
    }
    Ok(Some(std::fs::read_to_string(path).with_context(context)?))
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
