//! Composition as a `.wac` file says it (WebAssembly Composition language).

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Error, Result, anyhow};
use indexmap::IndexMap;
use miette::Diagnostic;
use semver::Version;
use wac_graph::EncodeOptions;
use wac_graph::types::BorrowedPackageKey;
use wac_parser::Document;

use super::file::read_text;
use super::problem;

/// Composes what the file at `path` says, of `packages` by the names that it has for them (`ns:name`, `ns:name@1.0.0`).
///
/// # Errors
/// `file:line: sentence`.
pub fn compose_wac(path: &Path, packages: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>> {
    let text = read_text(path)?.with_context(|| format!("there is no {}", path.display()))?;
    // The library asserts what it takes for granted.
    let composed = catch_unwind(AssertUnwindSafe(|| compose(path, &text, packages)));
    let bytes = composed.unwrap_or_else(|_| {
        Err(anyhow!("{}: these components cannot be composed this way", path.display()))
    })?;
    image::inspect(&bytes).with_context(|| format!("{}: the composition is not valid", path.display()))?;
    Ok(bytes)
}

fn compose(path: &Path, text: &str, packages: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>> {
    let versioned: Vec<(&str, Option<Version>, &Vec<u8>)> = packages
        .iter()
        .map(|(name, bytes)| match name.split_once('@') {
            None => Ok((name.as_str(), None, bytes)),
            Some((name, version)) => {
                let version =
                    Version::parse(version).with_context(|| format!("the package {name}@{version}"))?;
                Ok((name, Some(version), bytes))
            }
        })
        .collect::<Result<_>>()?;
    let document = Document::parse(text).map_err(|error| located(path, text, &error))?;
    let known: IndexMap<BorrowedPackageKey<'_>, Vec<u8>> = versioned
        .iter()
        .map(|(name, version, bytes)| {
            (BorrowedPackageKey::from_name_and_version(name, version.as_ref()), (*bytes).clone())
        })
        .collect();
    let resolved = document.resolve(known).map_err(|error| located(path, text, &error))?;
    let graph = resolved.into_graph();
    graph.encode(EncodeOptions::default()).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn located(path: &Path, text: &str, error: &impl Diagnostic) -> Error {
    let label = error.labels().and_then(|mut labels| labels.next());
    let span = label.map(|label| label.offset()..label.offset());
    let mut sentence = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        sentence = format!("{sentence}: {source}");
    }
    problem::at(path, text, span, &sentence)
}
