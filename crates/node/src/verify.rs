//! Whether a node is as it was installed.

use anyhow::Result;

use crate::carry::binaries;
use crate::carry::journal::Journal;
use crate::checks;
use crate::look::{self, look};
use crate::model::{State, Wanted};
use crate::node::{Node, Source};
use crate::paths::NODE_CONFIG;
use crate::plan;

const UNFINISHED: &str = "an earlier run did not end: `run-wasm-node verify --repair` puts the node back";

impl Node {
    /// What differs from what was installed, and from what `source` would install, a sentence each. None: the node is as it
    /// should be.
    ///
    /// # Errors
    /// The node cannot be looked at, or the source is none.
    pub async fn differences(&self, source: Option<&Source>) -> Result<Vec<String>> {
        let root = &self.containerd.root;
        if Journal::read(root)?.is_some() {
            return Ok(vec![UNFINISHED.to_owned()]);
        }
        let mut told = Vec::new();
        let found = match look(&self.containerd, false).await {
            Ok(found) => found,
            Err(error) => return Ok(vec![format!("{error:#}")]),
        };
        let Some(record) = found.record.clone() else {
            return Ok(vec!["run-wasm is not installed on this node".to_owned()]);
        };
        let wanted = Wanted { release: record.release, config: record.config };
        if !binaries::is_whole(root, &wanted.release) {
            told.push(format!(
                "the programs in {} are not what was installed",
                wanted.release.folder().display()
            ));
        }
        let config = wanted.config.as_deref().or(found.state(NODE_CONFIG).text()).unwrap_or_default();
        if let Err(error) = checks::refuse_noexec(root, config) {
            told.push(format!("{error:#}"));
        }
        match plan::install(&found, &wanted) {
            Err(refusal) => told.push(refusal.to_string()),
            Ok(plan) => {
                for change in &plan.changes {
                    let what = if change.before == State::Absent {
                        "is missing"
                    } else {
                        "is not what was installed"
                    };
                    told.push(format!("{} {what}", change.path.display()));
                }
                if plan.restart && plan.changes.is_empty() {
                    told.push(
                        "containerd runs with another config than the one on disk: it has to be restarted"
                            .to_owned(),
                    );
                }
            }
        }
        if let (Some(source), true) = (source, told.is_empty())
            && !plan::install(&found, &source.wanted()?)?.is_empty()
        {
            told.push("another release or config was installed: the new one is still to come".to_owned());
        }
        Ok(told)
    }

    /// What keeps the node from being one whose agent has uninstalled, a sentence each. containerd may be down.
    ///
    /// # Errors
    /// The node cannot be looked at.
    pub fn remains(&self) -> Result<Vec<String>> {
        let root = &self.containerd.root;
        let mut told = Vec::new();
        if Journal::read(root)?.is_some() {
            told.push(UNFINISHED.to_owned());
        }
        if look::record(root)?.is_some() {
            told.push("run-wasm is installed on this node".to_owned());
        }
        if !self.is_marked_gone() {
            told.push("the agent has not uninstalled yet".to_owned());
        }
        Ok(told)
    }
}
