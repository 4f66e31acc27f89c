//! Back to what there would be without us.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::install::changes;
use super::runtimes::HANDLERS;
use super::target::{DROP_IN, IMPORT};
use super::{edit, template};
use crate::distro::Way;
use crate::model::{Found, Plan, State};
use crate::paths::{CURRENT, NODE_CONFIG, RECORD, SHARED_CONFIG};

/// Plans the removal. Files that nobody has edited since become what they were, byte by byte; of others only our part goes.
/// With `keep_programs`, which running pods need, the link stays.
pub fn uninstall(found: &Found, keep_programs: bool) -> Plan {
    let mut paths: BTreeSet<PathBuf> = [SHARED_CONFIG.into(), found.config.clone()].into();
    paths.extend(found.record.iter().flat_map(|record| record.files.keys().cloned()));
    paths.extend(
        found.files.keys().filter(|path| path.ends_with(DROP_IN) || template_of(found, path)).cloned(),
    );
    // Who imports comes before what is imported, so that no import is ever without its file.
    let (configs, others): (Vec<PathBuf>, Vec<PathBuf>) =
        paths.into_iter().partition(|path| *path == found.config);
    // k3s and RKE2 render theirs.
    let configs = if found.distro.way() == Way::Rendered { Vec::new() } else { configs };

    let mut states: Vec<(PathBuf, State)> =
        configs.into_iter().chain(others).map(|path| (path.clone(), restored(found, &path))).collect();
    let touches_containerd =
        states.iter().any(|(path, after)| is_containerds(path) && found.state(path) != after);
    if !keep_programs {
        states.push((CURRENT.into(), State::Absent));
    }
    states.push((RECORD.into(), State::Absent));
    let lives = found.handlers.iter().flatten().any(|handler| HANDLERS.contains(&handler.as_str()));
    Plan {
        changes: changes(found, states),
        restart: touches_containerd || lives,
        handlers: HANDLERS.into_iter().map(|handler| (handler.to_owned(), false)).collect(),
    }
}

fn is_containerds(path: &Path) -> bool {
    path != Path::new(NODE_CONFIG) && path != Path::new(SHARED_CONFIG)
}

fn template_of(found: &Found, path: &Path) -> bool {
    found.distro.way() == Way::Rendered
        && [2, 3].iter().any(|version| template::path(&found.config, *version) == path)
}

fn restored(found: &Found, path: &Path) -> State {
    let current = found.state(path);
    let kept = found.record.as_ref().and_then(|record| record.files.get(path));
    match kept {
        Some(kept) if kept.after == *current => kept.before.clone(),
        kept => {
            let rest = without_ours(path, current);
            let made_by_us = kept.is_some_and(|kept| kept.before == State::Absent);
            if made_by_us && rest.text().is_some_and(says_nothing) { State::Absent } else { rest }
        }
    }
}

/// Whether a config has nothing but its version.
fn says_nothing(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#') || line.starts_with("version"))
}

/// A file without our part.
pub fn without_ours(path: &Path, state: &State) -> State {
    let State::File(text) = state else { return state.clone() };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name == DROP_IN || path == Path::new(SHARED_CONFIG) {
        return State::Absent;
    }
    if path == Path::new(NODE_CONFIG) {
        return state.clone();
    }
    if name.ends_with(".tmpl") {
        return template::without_block(text).map_or(State::Absent, State::File);
    }
    let Ok(mut document) = text.parse::<toml_edit::DocumentMut>() else { return state.clone() };
    let whole = document.to_string();
    edit::remove_tables(&mut document);
    for name in [IMPORT, DROP_IN] {
        edit::remove_import(&mut document, &format!("/etc/containerd/conf.d/{name}"));
    }
    let rest = document.to_string();
    if rest == whole { state.clone() } else { State::File(rest) }
}
