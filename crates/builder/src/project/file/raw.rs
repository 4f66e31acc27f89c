//! `run.toml` as it is written.

use std::collections::BTreeMap;
use std::path::Path;

use semver::{Version, VersionReq};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::super::tools;
use super::{Choice, Component, Graph, Origin, Out, Run, World};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    pub name: Spanned<String>,
    pub version: Version,
    #[serde(default)]
    pub world: World,
    #[serde(default)]
    pub components: BTreeMap<Spanned<String>, RawComponent>,
    #[serde(default)]
    pub graph: Graph,
    #[serde(default)]
    pub run: Run,
    #[serde(default)]
    pub output: Out,
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    path: Option<String>,
    build: Option<String>,
    output: Option<String>,
    from: Option<String>,
    dir: Option<String>,
    language: Option<String>,
    #[serde(default)]
    tools: Vec<String>,
}

/// A table, or a string that stands for one with `path` or `from` alone.
#[derive(Clone)]
pub struct RawComponent(Table);

impl<'de> Deserialize<'de> for RawComponent {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<RawComponent, D::Error> {
        let table = text_or_table(input)?;
        Ok(RawComponent(match table {
            Either::Table(table) => table,
            Either::Text(text) if text.ends_with(".wasm") || text.ends_with(".wat") => {
                Table { path: Some(text), ..Table::default() }
            }
            Either::Text(text) => Table { from: Some(text), ..Table::default() },
        }))
    }
}

impl RawComponent {
    pub fn checked(self, name: &str) -> Result<Component, String> {
        let table = self.0;
        let from = match (table.path, table.build, table.output, table.from) {
            (Some(path), None, None, None) => Origin::Path(relative("path", path)?),
            (None, Some(command), Some(output), None) => {
                Origin::Build { command, output: relative("output", output)? }
            }
            (None, None, None, Some(from)) => registry(&from)?,
            (None, Some(_), None, None) => {
                return Err("build needs output, the .wasm file that the command makes".into());
            }
            _ => return Err("it needs one of path, build with output, or from".into()),
        };
        if matches!(from, Origin::Registry { .. }) && (table.dir.is_some() || table.language.is_some()) {
            return Err(
                "dir and language are for components that are built here, and this one is pulled".into()
            );
        }
        for tool in &table.tools {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte);
            if tool.is_empty() || tool.starts_with('-') || !tool.bytes().all(allowed) {
                return Err(format!("tools has «{}», which is no name of a program", tool.escape_debug()));
            }
        }
        if let Some(language) = &table.language {
            tools::of_language(language).map_err(|why| format!("language of {name}: {why}"))?;
        }
        let dir = relative("dir", table.dir.unwrap_or_else(|| ".".into()))?;
        Ok(Component { from, dir, language: table.language, tools: table.tools })
    }
}

/// `registry/name@^1.2`.
fn registry(text: &str) -> Result<Origin, String> {
    let wrong = || format!("from is «{}» and must be written registry/name@^1.2", text.escape_debug());
    let (repository, wanted) = text.rsplit_once('@').ok_or_else(wrong)?;
    let wanted = VersionReq::parse(wanted).map_err(|error| format!("{}: {error}", wrong()))?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:[]".contains(&byte);
    if !repository.contains('/') || !repository.bytes().all(allowed) {
        return Err(wrong());
    }
    Ok(Origin::Registry { repository: repository.into(), wanted })
}

/// Relative to the project: what is absolute is in no other clone of it.
fn relative(key: &str, path: String) -> Result<String, String> {
    if path.is_empty() || path.contains('\0') || Path::new(&path).is_absolute() {
        return Err(format!("{key} is «{}» and must be relative to the project", path.escape_debug()));
    }
    Ok(path)
}

enum Either<T> {
    Text(String),
    Table(T),
}

/// Unlike `#[serde(untagged)]`, whose errors name neither key nor line.
fn text_or_table<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Either<T>, D::Error> {
    struct Visitor<T>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
        type Value = Either<T>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string or a table")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Either<T>, E> {
            Ok(Either::Text(text.into()))
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Either<T>, A::Error> {
            T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Either::Table)
        }
    }

    input.deserialize_any(Visitor(std::marker::PhantomData))
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Choice, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            from: String,
            export: Option<String>,
        }
        match text_or_table::<D, Table>(input)? {
            Either::Text(from) if from.is_empty() => Err(D::Error::custom("it names no component")),
            Either::Text(from) => Ok(Choice { from, export: None }),
            Either::Table(Table { from, export }) => Ok(Choice { from, export }),
        }
    }
}
