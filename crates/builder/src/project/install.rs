//! `run-wasm install`: a dependency is added to a project, or all of its dependencies are brought here.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use semver::{Version, VersionReq};
use toml_edit::{DocumentMut, Item, Table, value};

use super::build::{Event, Teller};
use super::file::{Origin, Project, read_text};
use super::lock::{LOCK_FILE, Lock, Pin};
use super::obtain::pulled;
use super::source::Source;
use super::{PROJECT_FILE, problem};
use crate::reference::{Reference, Repository};
use crate::whole;

/// A dependency as a person names it: `registry.example/ns/math@^1.2`, `…/math:1.2.3`, or `…/math` for its newest release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    repository: Repository,
    wanted: Option<VersionReq>,
}

/// What was installed, by the names in `run.toml`.
pub type Installed = BTreeMap<String, Pin>;

impl FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Wish, String> {
        if let Some((repository, wanted)) = text.rsplit_once('@').filter(|(_, wanted)| !wanted.contains(':'))
        {
            let wanted = VersionReq::parse(wanted)
                .map_err(|error| format!("«{}»: {error}: write versions as @^1.2", wanted.escape_debug()))?;
            let repository = repository.parse().map_err(|error| format!("{error}"))?;
            return Ok(Wish { repository, wanted: Some(wanted) });
        }
        let reference: Reference = text.parse().map_err(|error| format!("{error}"))?;
        if reference.digest().is_some() {
            return Err(
                "a dependency is named by versions, such as @=1.2.3; the lock holds its digest".into()
            );
        }
        let wanted = match reference.tag() {
            None => None,
            Some(tag) => {
                let version = Version::parse(tag)
                    .map_err(|_| format!("«{tag}» is no version: write versions as @^1.2"))?;
                Some(compatible(&version)?)
            }
        };
        Ok(Wish { repository: reference.repository().clone(), wanted })
    }
}

/// `^1.2.3`.
fn compatible(version: &Version) -> Result<VersionReq, String> {
    let mut version = version.clone();
    version.build = semver::BuildMetadata::EMPTY;
    VersionReq::parse(&format!("^{version}")).map_err(|error| error.to_string())
}

/// Adds `wish` to the project in `folder`, where there is one, and brings all of its dependencies into the cache and the lock.
/// `name`: the component's, in place of the last part of its repository's. With `update` the newest versions count, not the
/// lock's.
///
/// # Errors
/// A chain of sentences that names the file, component or registry and the cure. Nothing has been written then.
pub async fn install(
    folder: &Path,
    wish: Option<&Wish>,
    name: Option<&str>,
    update: bool,
    source: &dyn Source,
    progress: impl Fn(&Event) + Send + Sync + 'static,
) -> Result<Installed> {
    let tell = Teller::new(Arc::new(progress));
    let path = folder.join(PROJECT_FILE);
    let text = read_text(&path)?
        .with_context(|| format!("there is no {}: write one, as docs/run-toml.md says", path.display()))?;
    let changed = match wish {
        None => text.clone(),
        Some(wish) => {
            let own = wish.repository.path().rsplit('/').next().unwrap_or_default();
            let name = name.map_or_else(|| own.replace('.', "-"), String::from);
            let wanted = match &wish.wanted {
                Some(wanted) => wanted.clone(),
                None => {
                    let repository = wish.repository.to_string();
                    tell.event(&Event::Resolving { component: name.clone(), repository: repository.clone() });
                    let (newest, _) = source.resolve(&repository, &VersionReq::STAR).await?;
                    compatible(&newest).map_err(anyhow::Error::msg)?
                }
            };
            added(&path, &text, &name, &wish.repository, &wanted)?
        }
    };
    let project = Project::parse(&path, &changed)?;
    let lock_path = folder.join(LOCK_FILE);
    let old = Lock::read(&lock_path)?;
    let tools = old.as_ref().map(|old| old.tools.clone()).unwrap_or_default();
    let mut new = Lock::new(&project, tools)?;
    let mut installed = Installed::new();
    for (name, component) in &project.components {
        let before = old.as_ref().and_then(|old| old.components.get(name));
        if let Origin::Registry { .. } = component.from {
            let found = pulled(name, component, before.filter(|_| !update), source, &tell).await?;
            installed.extend(found.locked.pin.clone().map(|pin| (name.clone(), pin)));
            new.components.insert(name.clone(), found.locked);
        } else if let Some(before) = before.filter(|before| before.pin.is_none()) {
            // As it was built last: the next build knows better.
            new.components.insert(name.clone(), before.clone());
        }
    }
    if changed != text {
        whole::write(&path, changed.as_bytes())?;
    }
    if old.as_ref() != Some(&new) {
        whole::write(&lock_path, new.text()?.as_bytes())?;
    }
    Ok(installed)
}

/// The text of `run.toml` with one more dependency. All else is left as it is, comments and order, too.
fn added(
    path: &Path,
    text: &str,
    name: &str,
    repository: &Repository,
    wanted: &VersionReq,
) -> Result<String> {
    // Mistakes are told as a build tells them.
    let before = Project::parse(path, text)?;
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| anyhow!("{}: {}", path.display(), error.message()))?;
    let from = format!("{repository}@{wanted}");
    let components = document
        .get_mut("components")
        .and_then(Item::as_table_like_mut)
        .with_context(|| format!("{} has no table [components]", path.display()))?;
    match before.components.get(name).map(|component| &component.from) {
        None => drop(components.insert(name, value(from))),
        Some(Origin::Registry { repository: there, .. }) if *there == repository.to_string() => {
            match components.get_mut(name) {
                Some(item) if item.is_table_like() => {
                    if let Some(table) = item.as_table_like_mut() {
                        replace(table.get_mut("from"), &from);
                    }
                }
                item => replace(item, &from),
            }
        }
        Some(_) => bail!(
            "{} has another component «{}»: choose a name for this one by --name",
            path.display(),
            problem::tame(name)
        ),
    }
    // With a second one it has to be said which of them is run.
    if before.graph.root.is_none() && before.components.len() == 1 && !before.components.contains_key(name) {
        let graph = document.entry("graph").or_insert_with(|| Item::Table(Table::new()));
        if let Some(graph) = graph.as_table_like_mut() {
            graph.insert("root", value(before.root()));
        }
    }
    Ok(document.to_string())
}

/// Another text in the place of one; the comment behind it stays.
fn replace(item: Option<&mut Item>, text: &str) {
    if let Some(old) = item.and_then(Item::as_value_mut) {
        let decor = old.decor().clone();
        *old = toml_edit::Value::from(text);
        *old.decor_mut() = decor;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Result<(String, Option<String>), String> {
        let wish: Wish = text.parse()?;
        Ok((wish.repository.to_string(), wish.wanted.map(|wanted| wanted.to_string())))
    }

    fn add(text: &str, name: &str, wanted: &str) -> Result<String> {
        let repository = "registry.example/ns/math".parse().unwrap();
        added(Path::new("run.toml"), text, name, &repository, &VersionReq::parse(wanted).unwrap())
    }

    const PROJECT: &str = "# The shop.\nname = \"shop\"\nversion = \"1.0.0\"\n\n[components] # all\napp = \"app.wasm\" # ours\n";

    #[test]
    fn a_dependency_is_named_with_versions_a_version_or_none() {
        let name = "registry.example:5000/ns/math";
        let parsed = |rest: &str| wish(&format!("{name}{rest}")).unwrap();
        assert_eq!(parsed(""), (name.into(), None));
        assert_eq!(parsed("@~1.2"), (name.into(), Some("~1.2".into())));
        assert_eq!(parsed("@>=1, <3"), (name.into(), Some(">=1, <3".into())));
        assert_eq!(parsed(":1.2.3"), (name.into(), Some("^1.2.3".into())));
        for wrong in ["math", "registry.example/math@new", "registry.example/math:latest", ""] {
            assert!(wish(wrong).is_err(), "{wrong}");
        }
        let digest = image::Digest::of(b"x");
        assert!(wish(&format!("{name}@{digest}")).unwrap_err().contains("@=1.2.3"));
    }

    #[test]
    fn comments_and_order_stay_and_the_root_is_said() {
        let text = add(PROJECT, "math", "^1.2").unwrap();
        let (head, rest) = text.split_at(PROJECT.len());
        assert_eq!(head, PROJECT);
        assert_eq!(rest, "math = \"registry.example/ns/math@^1.2\"\n\n[graph]\nroot = \"app\"\n");
    }

    #[test]
    fn a_dependency_that_is_there_gets_other_versions_and_keeps_its_comment() {
        let text = add(PROJECT, "math", "^1.2").unwrap().replace("@^1.2\"", "@^1.2\" # sums");
        let text = add(&text, "math", "^2").unwrap();
        assert!(text.contains("math = \"registry.example/ns/math@^2\" # sums\n"), "{text}");
        let table = text.replace(
            "math = \"registry.example/ns/math@^2\" # sums",
            "math = { from = \"registry.example/ns/math@^2\" }",
        );
        assert!(
            add(&table, "math", "^3").unwrap().contains("math = { from = \"registry.example/ns/math@^3\" }")
        );
        assert!(add(PROJECT, "app", "^1").unwrap_err().to_string().contains("--name"));
        assert!(add("name = 1", "math", "^1").unwrap_err().to_string().contains("run.toml:1"));
    }
}
