//! What is being done to the node, on disk before it is done: whoever comes after a run that was killed knows the way back.

use serde::{Deserialize, Serialize};

use anyhow::{Context, Result};

use super::files;
use crate::model::{Plan, State};
use crate::paths::{JOURNAL, Root};

/// How far a run has come. Each phase is on disk before its first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// New states are written beside their places.
    Preparing,
    /// They are put in their places.
    Changing,
    /// containerd reads its config. Whoever goes back from here has to restart it.
    Restarting,
    /// The node is in its new state, and proved so; second names are to be removed.
    Done,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Journal {
    pub phase: Phase,
    pub plan: Plan,
    /// The handlers that containerd knew before.
    pub handlers: Vec<String>,
}

impl Journal {
    /// The journal of a run that has not ended. `None`: there is none.
    pub fn read(root: &Root) -> Result<Option<Journal>> {
        match files::read(&root.at(JOURNAL))? {
            State::File(text) => {
                let journal = serde_json::from_str(&text);
                journal.map(Some).with_context(|| format!("{JOURNAL} is not what run-wasm-node writes"))
            }
            State::Absent | State::Link(_) => Ok(None),
        }
    }

    /// Enters a phase.
    pub fn enter(&mut self, root: &Root, phase: Phase) -> Result<()> {
        let left = std::mem::replace(&mut self.phase, phase);
        let text = serde_json::to_string_pretty(self).context("the journal cannot be written down");
        let written = text.and_then(|text| files::write(&root.at(JOURNAL), text.as_bytes()));
        // The way back goes by what was done, not by what could not be begun.
        written.inspect_err(|_| self.phase = left)
    }

    /// The run has ended.
    pub fn close(root: &Root) -> Result<()> {
        let path = root.at(JOURNAL);
        files::remove(&path)
            .and_then(|()| files::sync_folder(&path))
            .with_context(|| format!("cannot remove {JOURNAL}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_cannot_be_written_down_is_not_entered() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path());
        let mut journal = Journal { phase: Phase::Restarting, plan: Plan::default(), handlers: Vec::new() };
        // There is no folder to write to.
        journal.enter(&root, Phase::Done).unwrap_err();
        assert_eq!(journal.phase, Phase::Restarting);
        std::fs::create_dir_all(root.at(JOURNAL).parent().unwrap()).unwrap();
        journal.enter(&root, Phase::Done).unwrap();
        assert_eq!(journal.phase, Phase::Done);
    }
}
