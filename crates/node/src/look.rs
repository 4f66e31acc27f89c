//! Finds out what the planner has to know of a node. Reads, and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use semver::Version;
use toml_edit::DocumentMut;

use crate::carry::files;
use crate::containerd::Containerd;
use crate::distro::{Distro, Way};
use crate::model::{Found, Record, State};
use crate::paths::{CURRENT, NODE_CONFIG, RECORD, Root, SHARED_CONFIG};
use crate::plan::{self, imports};

/// Which distribution the node has.
pub fn distro(root: &Root) -> Result<Distro> {
    let marked = |distro: &Distro| *distro != Distro::Plain && root.at(distro.mark()).exists();
    let found: Vec<Distro> = Distro::ALL.into_iter().filter(marked).collect();
    match found.as_slice() {
        [] => Ok(Distro::Plain),
        [one] => Ok(*one),
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            bail!("this node has {}: say by --distro whose containerd is meant", names.join(" and "))
        }
    }
}

/// Where the program of the node's containerd is.
pub fn program(root: &Root, distro: Distro) -> Option<PathBuf> {
    distro.programs().iter().map(PathBuf::from).find(|program| root.at(program).exists())
}

/// What was installed, by the record that was kept.
pub fn record(root: &Root) -> Result<Option<Record>> {
    match files::read(&root.at(RECORD))? {
        State::File(text) => {
            let record = serde_json::from_str(&text);
            record.map(Some).with_context(|| {
                format!("{RECORD} is not what run-wasm-node writes: remove it and install again")
            })
        }
        State::Absent | State::Link(_) => Ok(None),
    }
}

/// All that the planner has to know. Of a containerd that is down, which only `uninstall` takes, neither release nor handlers
/// are known.
pub async fn look(containerd: &Containerd, may_be_down: bool) -> Result<Found> {
    let root = &containerd.root;
    let record = record(root)?;
    let (version, handlers) = match (containerd.version().await, containerd.handlers().await) {
        (Ok(version), Ok(handlers)) => (version, Some(handlers)),
        (Err(_), _) | (_, Err(_)) if may_be_down => (Version::new(0, 0, 0), None),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let mut found = Found {
        distro: containerd.distro,
        containerd: version,
        config: containerd.config.clone(),
        files: BTreeMap::new(),
        handlers,
        record,
    };
    for path in paths(root, &found)? {
        let state = files::read(&root.at(&path)).with_context(|| format!("cannot use {}", path.display()))?;
        found.files.insert(path, state);
    }
    Ok(found)
}

fn paths(root: &Root, found: &Found) -> Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = [NODE_CONFIG, SHARED_CONFIG, CURRENT, RECORD].map(PathBuf::from).to_vec();
    paths.push(found.config.clone());
    paths.push(found.distro.drop_ins().join(plan::DROP_IN));
    if found.distro.way() == Way::Rendered {
        paths.extend([2, 3].map(|version| plan::template(&found.config, version)));
    }
    paths.extend(found.record.iter().flat_map(|record| record.files.keys().cloned()));
    if let State::File(text) = files::read(&root.at(&found.config))?
        && let Ok(document) = text.parse::<DocumentMut>()
    {
        for pattern in imports::of(&document, &found.config) {
            paths.extend(reached(root, &pattern));
        }
    }
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// The files that an import reaches now. k3s and RKE2 are asked by their drop-ins' folder, which may not be there yet.
fn reached(root: &Root, pattern: &Path) -> Vec<PathBuf> {
    let folder = pattern.parent().unwrap_or(Path::new("/"));
    let entries = fs::read_dir(root.at(folder)).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file()).map(|entry| folder.join(entry.file_name()));
    let mut files: Vec<PathBuf> = files.filter(|path| imports::reaches(pattern, path)).collect();
    let ours = folder.join(plan::DROP_IN);
    if imports::reaches(pattern, &ours) {
        files.push(ours);
    }
    files
}
