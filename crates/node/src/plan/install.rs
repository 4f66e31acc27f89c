//! From what was found to what is wanted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::runtimes::{HANDLERS, Handlers};
use super::{node_config, target, uninstall::without_ours};
use crate::model::{Change, Found, Kept, Plan, Record, Refusal, State, Wanted};
use crate::paths::{CURRENT, NODE_CONFIG, RECORD, SHARED_CONFIG};
use crate::refuse;

/// Plans an installation, an upgrade or a repair: they are the same.
///
/// # Errors
/// Why the node must not be changed.
pub fn install(found: &Found, wanted: &Wanted) -> Result<Plan, Refusal> {
    refuse_versions(found)?;
    let config = wanted.config.as_deref().or(found.state(NODE_CONFIG).text()).unwrap_or_default();
    let shared = node_config::shared(config)?;
    let handlers = Handlers { shared: shared.is_some() };

    let mut states: Vec<(PathBuf, State)> = Vec::new();
    if let Some(config) = &wanted.config {
        states.push((NODE_CONFIG.into(), State::File(config.clone())));
    }
    states.push((SHARED_CONFIG.into(), shared.map_or(State::Absent, State::File)));
    let containerds = target::states(found, handlers)?;
    let touches_containerd = containerds.iter().any(|(path, after)| found.state(path) != after);
    states.extend(containerds);
    let record = record(found, wanted, &states);
    states.push((CURRENT.into(), State::Link(wanted.release.name.clone().into())));
    states.push((RECORD.into(), State::File(record)));

    let handlers: BTreeMap<String, bool> =
        HANDLERS.into_iter().map(|handler| (handler.to_owned(), handlers.has(handler))).collect();
    let lives = |(handler, wanted): (&String, &bool)| {
        found.handlers.as_ref().is_some_and(|live| live.contains(handler) == *wanted)
    };
    let restart = touches_containerd || !handlers.iter().all(lives);
    Ok(Plan { changes: changes(found, states), restart, handlers })
}

fn refuse_versions(found: &Found) -> Result<(), Refusal> {
    let version = &found.containerd;
    let known = version.major == 2 || (version.major == 1 && version.minor >= 7);
    if known { Ok(()) } else { refuse!("this is containerd {version}: run-wasm needs 1.7 or 2.x") }
}

/// The states that are not there yet.
pub fn changes(found: &Found, states: Vec<(PathBuf, State)>) -> Vec<Change> {
    let change = |(path, after): (PathBuf, State)| {
        let before = found.state(&path).clone();
        (before != after).then_some(Change { path, before, after })
    };
    states.into_iter().filter_map(change).collect()
}

/// What `uninstall` will need: for each path what was there before us.
fn record(found: &Found, wanted: &Wanted, states: &[(PathBuf, State)]) -> String {
    let mut files = found.record.as_ref().map(|record| record.files.clone()).unwrap_or_default();
    for (path, after) in states {
        let current = found.state(path);
        let before = match files.remove(path) {
            Some(kept) if kept.after == *current => kept.before,
            // Somebody has edited the file since: theirs is what there would be without us.
            _ => without_ours(path, current),
        };
        if before != *after {
            files.insert(path.clone(), Kept { before, after: after.clone() });
        }
    }
    let config =
        wanted.config.clone().or_else(|| found.record.as_ref().and_then(|record| record.config.clone()));
    let record = Record { release: wanted.release.clone(), config, files };
    // Maps with text keys cannot fail.
    serde_json::to_string_pretty(&record).unwrap_or_default() + "\n"
}
