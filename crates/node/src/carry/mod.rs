//! Carries a plan out: prepare, change, validate, restart, probe; and the way back from each of these.

pub mod binaries;
pub mod files;
pub mod journal;
pub mod lock;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

use self::journal::{Journal, Phase};
use crate::containerd::Containerd;
use crate::model::{Change, Plan, State};
use crate::paths::{INSTALLER, JOURNAL, Root};
use crate::plan::runtimes::HANDLERS;
use crate::plan::without_ours;
use crate::say;

/// Carries out `plan`, or leaves the node as it was. `handlers` are those that containerd knows now.
///
/// # Errors
/// What failed, and that the node is as it was; or, in the worst case, what is left to do by hand.
pub async fn carry_out(root: &Root, plan: &Plan, handlers: &[String], containerd: &Containerd) -> Result<()> {
    if plan.is_empty() {
        return Ok(());
    }
    let mut handlers = handlers.to_vec();
    if plan.restart {
        containerd.can_restart().await.context("nothing has changed on this node")?;
        // What somebody has taken out of the config since containerd read it goes with any restart. A config that it refuses is told of
        // when it is asked about the new one.
        if let Ok(Some(stays)) = containerd.configured().await {
            handlers.retain(|handler| HANDLERS.contains(&handler.as_str()) || stays.contains(handler));
        }
    }
    let mut journal = Journal { phase: Phase::Preparing, plan: plan.clone(), handlers };
    let Err(error) = forwards(root, &mut journal, containerd).await else { return finish(root, plan) };
    let way_back = backwards(root, &journal, containerd).await;
    way_back.with_context(|| format!("{error:#}; and {}", by_hand(root)))?;
    Err(error.context("nothing has changed on this node"))
}

async fn forwards(root: &Root, journal: &mut Journal, containerd: &Containerd) -> Result<()> {
    journal.enter(root, Phase::Preparing)?;
    let plan = journal.plan.clone();
    for Change { path, before, after } in &plan.changes {
        if files::read(&root.at(path))? != *before {
            bail!("{} has been changed by somebody else just now: begin again", path.display());
        }
        files::prepare(&root.at(path), after)?;
    }
    journal.enter(root, Phase::Changing)?;
    for Change { path, after, .. } in &plan.changes {
        files::commit(&root.at(path), after)?;
    }
    if plan.restart {
        containerd.validate(&plan.handlers).await?;
        journal.enter(root, Phase::Restarting)?;
        containerd.arrive().await;
        containerd.restart().await?;
        containerd.probe(&wanted(journal)).await?;
    }
    journal.enter(root, Phase::Done)
}

/// Ends a run that was killed, in the old state or in the new one. Says whether there was any.
///
/// # Errors
/// The node is in neither, with what to do by hand. The journal stays, and the next run tries again.
pub async fn recover(root: &Root, containerd: &Containerd) -> Result<bool> {
    // What a run leaves that was killed before it had a journal, or while it wrote it.
    files::forget(&root.at(JOURNAL)).with_context(|| format!("cannot tidy up beside {JOURNAL}"))?;
    binaries::remove_drafts(root)?;
    let Some(journal) = Journal::read(root)? else { return Ok(false) };
    if journal.phase == Phase::Done {
        say!("an earlier run had done its work: tidying up");
        finish(root, &journal.plan)?;
    } else {
        say!("an earlier run did not end: putting the node back as it was");
        if journal.plan.restart {
            containerd.arrive().await;
        }
        backwards(root, &journal, containerd).await.with_context(|| by_hand(root))?;
    }
    Ok(true)
}

/// What containerd has to know afterwards: what is planned, and what others had it know before and have in its config.
fn wanted(journal: &Journal) -> BTreeMap<String, bool> {
    let theirs = journal.handlers.iter().filter(|handler| !HANDLERS.contains(&handler.as_str()));
    let theirs = theirs.map(|handler| (handler.clone(), true));
    theirs.chain(journal.plan.handlers.clone()).collect()
}

/// What a person does about a node that is in neither state, where the agent may not come back.
fn by_hand(root: &Root) -> String {
    let program = binaries::installer(root);
    let program = program.map_or_else(|| INSTALLER.to_owned(), |program| program.display().to_string());
    format!(
        "the node could not be put back as it was: `{program} verify --repair`, as root there, tries it again"
    )
}

/// Puts back what was there, in the reverse order, and has containerd read it where it may have read something else.
async fn backwards(root: &Root, journal: &Journal, containerd: &Containerd) -> Result<()> {
    for change in journal.plan.changes.iter().rev() {
        let Change { path, before, after } = change;
        let path = root.at(path);
        let current = files::read(&path)?;
        if current == *after {
            files::restore(&path, before)?;
        } else {
            if current != *before {
                leave_theirs(&change.path, &path, &current)?;
            }
            files::forget(&path).with_context(|| format!("cannot tidy up beside {}", path.display()))?;
        }
    }
    let old: BTreeMap<String, bool> = HANDLERS
        .iter()
        .map(|handler| ((*handler).to_owned(), journal.handlers.iter().any(|known| known == handler)))
        .collect();
    let restart = journal.phase == Phase::Restarting || !containerd.has(&old).await;
    if journal.plan.restart && restart {
        say!("restarting containerd with its old config");
        containerd.restart().await?;
        // The old config may be another than the one that the old containerd had read: it may know other handlers.
        containerd.probe(&BTreeMap::new()).await?;
    }
    Journal::close(root)
}

/// Removes the second names of what was replaced.
fn finish(root: &Root, plan: &Plan) -> Result<()> {
    for Change { path, .. } in &plan.changes {
        files::forget(&root.at(path)).with_context(|| format!("cannot tidy up beside {}", path.display()))?;
    }
    Journal::close(root)
}

/// Somebody has edited the file at `at` in the meantime: only our part of it goes.
fn leave_theirs(path: &Path, at: &Path, current: &State) -> Result<()> {
    say!("warning: {} has been changed by somebody else: their changes stay", path.display());
    match without_ours(path, current) {
        State::File(text) if *current != State::File(text.clone()) => files::write(at, text.as_bytes()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_had_containerd_know_it_has_to_know_afterwards() {
        let named = |handlers: &[(&str, bool)]| -> BTreeMap<String, bool> {
            handlers.iter().map(|(handler, is)| ((*handler).to_owned(), *is)).collect()
        };
        let plan = Plan { handlers: named(&[("run", false), ("run-shared", false)]), ..Plan::default() };
        let handlers = ["kata", "run", "runc"].map(str::to_owned).to_vec();
        let journal = Journal { phase: Phase::Preparing, plan, handlers };
        let all = [("kata", true), ("run", false), ("run-shared", false), ("runc", true)];
        assert_eq!(wanted(&journal), named(&all));
    }
}
