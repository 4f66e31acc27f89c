//! What containerd tells of what happens.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;

use crate::containerd::Containerd;
use crate::patience::eventually;

/// A subscription: everything from [`Containerd::events`] on.
#[derive(Debug)]
pub struct Events<'a> {
    daemon: &'a Containerd,
    ctr: Child,
    file: PathBuf,
}

impl<'a> Events<'a> {
    pub(crate) fn listen(daemon: &'a Containerd) -> Result<Events<'a>> {
        let file = daemon.nest().folder().join("events");
        let output = File::create(&file)?;
        let ctr = daemon.ctr_command(["events"])?.stdin(Stdio::null()).stdout(output).spawn();
        let events = Events { daemon, ctr: ctr.context("cannot start ctr events")?, file };
        // It does not say when it listens: events of no importance are made until one comes.
        eventually("ctr events listens", 20, || {
            daemon.ctr(["namespaces", "label", daemon.nest().name(), "heard=yes"])?.success()?;
            Ok(!events.lines().is_empty())
        })?;
        Ok(events)
    }

    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.file).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The topics of a task's events so far, in their order: `/tasks/create`, and so on.
    pub fn of_task(&self, id: &str) -> Vec<String> {
        let about = format!("\"{id}\"");
        let topic =
            |line: &String| line.split(' ').find(|word| word.starts_with("/tasks/")).map(str::to_owned);
        self.lines().iter().filter(|line| line.contains(&about)).filter_map(topic).collect()
    }

    /// The processes of a task whose ends were told so far, in their order: execs by their ids, the first by the task's.
    pub fn exits_of(&self, id: &str) -> Vec<String> {
        let process = |line: &String| {
            let (_, json) = line.split_once("/tasks/exit")?;
            let event: Value = serde_json::from_str(json.trim()).ok()?;
            let of = |field: &str| event.get(field)?.as_str().map(str::to_owned);
            (of("container_id")? == id).then(|| of("id")).flatten()
        };
        self.lines().iter().filter_map(process).collect()
    }

    /// The tasks that such an event has been told of so far.
    pub fn tasks_with(&self, topic: &str) -> BTreeSet<String> {
        let id = |line: &String| {
            let (_, json) = line.split_once(topic)?;
            let event: Value = serde_json::from_str(json.trim()).ok()?;
            Some(event.get("container_id")?.as_str()?.to_owned())
        };
        self.lines().iter().filter_map(id).collect()
    }

    /// Waits for an event of a task.
    pub fn wait_for(&self, id: &str, topic: &str) -> Result<()> {
        eventually(&format!("{topic} of {id}"), 30, || Ok(self.of_task(id).iter().any(|seen| seen == topic)))
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        let mine =
            |process: &&crate::Process| process.name == "ctr" && process.command_line.ends_with(" events");
        for process in self.daemon.nest().processes().unwrap_or_default().iter().filter(mine) {
            drop(self.daemon.nest().end(process, Signal::KILL));
        }
        drop(self.ctr.wait());
    }
}
