//! Imports that no component serves: a node must.

use std::collections::BTreeMap;

use wac_graph::types::ItemKind;

use super::names::{best, listed};
use super::parts::Parts;
use super::plan::other_version;
use super::{ComposeError, Providers, Wiring, target};
use crate::Digest;

/// An import without a link.
pub struct Import {
    pub to: String,
    pub name: String,
    pub kind: ItemKind,
}

/// Refuses those that a node does not provide, and says what comes near.
pub fn refuse(
    parts: &Parts,
    wiring: &Wiring,
    used: &BTreeMap<String, Digest>,
    imports: &[Import],
) -> Result<(), ComposeError> {
    let missing: Vec<&Import> = imports
        .iter()
        .filter(|import| !target::provides(&import.name) && parts.needs_provider(import.kind))
        .collect();
    for import in &missing {
        for from in parts.names().filter(|name| *name != import.to) {
            near(parts, wiring, import, from)?;
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let wanted: Vec<String> =
        missing.iter().map(|import| format!("{} (imported by «{}»)", import.name, import.to)).collect();
    let unused: Vec<String> =
        parts.names().filter(|name| !used.contains_key(*name)).map(|name| format!("«{name}»")).collect();
    let hint = match unused.is_empty() {
        true => String::new(),
        false => format!("; unused is {}", listed(unused.iter().map(String::as_str))),
    };
    let wanted = listed(wanted.iter().map(String::as_str));
    Err(ComposeError::Unmatched(format!("{wanted}{hint}; {}", target::PROVIDED)))
}

/// Whether `from` would serve if its version, or its place, were another.
fn near(parts: &Parts, wiring: &Wiring, import: &Import, from: &str) -> Result<(), ComposeError> {
    let part = parts.get(from)?;
    let exports = || parts.exports(part).map(|(name, _)| name);
    if best(&import.name, exports()).is_some() && matches!(wiring.providers, Providers::InOrder(_)) {
        return Err(ComposeError::Order {
            to: import.to.clone(),
            import: import.name.clone(),
            from: from.into(),
        });
    }
    match other_version(&import.name, exports()) {
        Some(export) if best(&import.name, exports()).is_none() => Err(ComposeError::Version {
            to: import.to.clone(),
            import: import.name.clone(),
            from: from.into(),
            export: export.into(),
        }),
        _ => Ok(()),
    }
}
