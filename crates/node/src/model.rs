//! What the planner is given and what it answers. Data without I/O.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::distro::Distro;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Absent,
    /// A file with this text. Configs are UTF-8, or are refused.
    File(String),
    /// A symbolic link to this target.
    Link(PathBuf),
}

impl State {
    pub fn text(&self) -> Option<&str> {
        match self {
            State::File(text) => Some(text),
            State::Absent | State::Link(_) => None,
        }
    }
}

/// One path becomes something else, in one atomic step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub path: PathBuf,
    pub before: State,
    pub after: State,
}

/// What is to be done, in this order: the changes, then the restart if there is one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub changes: Vec<Change>,
    pub restart: bool,
    /// The handlers that containerd has to know afterwards, and those that it must not.
    pub handlers: BTreeMap<String, bool>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.restart
    }
}

/// What was found on the node.
#[derive(Debug, Clone)]
pub struct Found {
    pub distro: Distro,
    pub containerd: Version,
    /// The config that containerd reads, or that it is rendered from.
    pub config: PathBuf,
    /// What is at the paths that a plan may touch or has to know: [`Found::state`] of others is `Absent`.
    pub files: BTreeMap<PathBuf, State>,
    /// The handlers of the containerd that runs. `None`: it does not answer.
    pub handlers: Option<Vec<String>>,
    pub record: Option<Record>,
}

impl Found {
    pub fn state(&self, path: impl AsRef<Path>) -> &State {
        self.files.get(path.as_ref()).unwrap_or(&State::Absent)
    }
}

/// What shall be on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub release: Release,
    /// The node config. `None`: what is there stays.
    pub config: Option<String>,
}

/// The programs of one build, in a folder of their own that is never written again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The folder's name: a version, and the beginning of the programs' digest.
    pub name: String,
    /// SHA-256 by program.
    pub digests: BTreeMap<String, String>,
}

impl Release {
    pub fn folder(&self) -> PathBuf {
        Path::new(crate::paths::HOME).join(&self.name)
    }
}

/// What is installed: kept on the node, for upgrades, `verify` and `uninstall`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub release: Release,
    /// The node config that was given, if one was.
    pub config: Option<String>,
    /// By path: what was there before the first installation, and what we made of it.
    pub files: BTreeMap<PathBuf, Kept>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub before: State,
    pub after: State,
}

/// Why a node cannot be changed: a sentence with the file, the line and the cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// `refuse!("{x} is wrong")`: a refusal with this sentence.
#[macro_export]
macro_rules! refuse {
    ($($text:tt)*) => { Err($crate::model::Refusal(format!($($text)*))) };
}
