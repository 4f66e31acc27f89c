//! Whether a node is as it was installed.

use anyhow::Result;

use crate::carry::binaries;
use crate::carry::journal::Journal;
use crate::checks;
use crate::look::look;
use crate::model::{State, Wanted};
use crate::node::Node;
use crate::paths::NODE_CONFIG;
use crate::plan;

impl Node {
    /// What differs from what was installed, a sentence each. None: the node is as it should be.
    ///
    /// # Errors
    /// The node cannot be looked at.
    pub async fn differences(&self) -> Result<Vec<String>> {
        let root = &self.containerd.root;
        let mut told = Vec::new();
        if Journal::read(root)?.is_some() {
            told.push(
                "an earlier run did not end: `run-wasm-node verify --repair` puts the node back".to_owned(),
            );
            return Ok(told);
        }
        let found = match look(&self.containerd, false).await {
            Ok(found) => found,
            Err(error) => return Ok(vec![format!("{error:#}")]),
        };
        let Some(record) = found.record.clone() else {
            if self.is_marked_gone() {
                return Ok(told);
            }
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
        Ok(told)
    }
}
