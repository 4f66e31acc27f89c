//! The versions of what built a component.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use super::file::Project;
use super::problem;

/// Programs by the language whose toolchain they are.
const LANGUAGES: [(&str, &[&str]); 9] = [
    ("assemblyscript", &["node"]),
    ("c", &["clang"]),
    ("c++", &["clang++"]),
    ("go", &["go"]),
    ("javascript", &["node"]),
    ("python", &["python3"]),
    ("rust", &["cargo", "rustc"]),
    ("wat", &[]),
    ("zig", &["zig"]),
];

/// Programs that know no `--version`.
const BY_COMMAND: [&str; 3] = ["go", "tinygo", "zig"];

/// The longest line that is kept, in bytes.
const MAX_LINE: usize = 200;

/// The programs of a language.
///
/// # Errors
/// A sentence with the languages that there are.
pub fn of_language(language: &str) -> Result<&'static [&'static str], String> {
    if let Some((_, tools)) = LANGUAGES.iter().find(|(known, _)| *known == language) {
        return Ok(tools);
    }
    let known: Vec<&str> = LANGUAGES.iter().map(|(known, _)| *known).collect();
    Err(match problem::nearest(language, &known) {
        Some(near) => format!("«{language}» is unknown: did you mean «{near}»?"),
        None => format!(
            "«{language}» is none of {}: leave it out, and name its programs in tools",
            known.join(", ")
        ),
    })
}

/// The first line that each program tells of its version, by program.
///
/// # Errors
/// A sentence that names the program and who needs it.
pub async fn versions(project: &Project) -> Result<BTreeMap<String, String>> {
    let mut wanted: BTreeSet<(&str, &str)> = BTreeSet::new();
    for (name, component) in &project.components {
        let language =
            component.language.as_deref().map(of_language).transpose().map_err(anyhow::Error::msg)?;
        let tools = language.unwrap_or_default().iter().copied();
        wanted.extend(
            tools.chain(component.tools.iter().map(String::as_str)).map(|tool| (tool, name.as_str())),
        );
    }
    let mut versions = BTreeMap::new();
    for (tool, component) in wanted {
        if !versions.contains_key(tool) {
            let line =
                version(tool).await.with_context(|| format!("component «{component}» needs {tool}"))?;
            versions.insert(tool.to_owned(), line);
        }
    }
    Ok(versions)
}

async fn version(tool: &str) -> Result<String> {
    let argument = if BY_COMMAND.contains(&tool) { "version" } else { "--version" };
    let output = Command::new(tool).arg(argument).stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("{tool} cannot be run: install it, or add it to PATH"))?;
    let text = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&text)
        .lines()
        .find(|line| !line.trim().is_empty())
        .map(|line| image::tame(line.trim(), MAX_LINE));
    match line {
        Some(line) if output.status.success() => Ok(line),
        _ => bail!("`{tool} {argument}` tells no version: it ended with {}", output.status),
    }
}
