//! Many containers of one kind at once, started by `ctr run --detach`, and what they keep.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::containerd::ctr;
use crate::footprint::{Baseline, Footprint};
use crate::machine;
use crate::peer::Peer;
use crate::pool::{Done, each};
use crate::processes::{Shims, kill_server};

/// For `ctr run`: where servers are reached without a network plugin.
pub const MACHINES_NETWORK: &str = "network:/proc/1/ns/net";

/// How many containers one call of ctr removes, and how many calls at a time.
const REMOVED_BY_ONE: usize = 10;
const REMOVERS: usize = 8;

/// How long they may take to end, and the pause between two attempts.
const PATIENCE: Duration = Duration::from_secs(180);
const STEP: Duration = Duration::from_secs(1);

/// Containers to be: how many of what, and how many `ctr run` at a time start them.
#[derive(Debug, Clone)]
pub struct Crowd {
    /// The name in metrics.
    pub name: String,
    pub peer: Peer,
    pub program: &'static str,
    pub containers: usize,
    pub at_once: usize,
    /// They serve HTTP, each at a port of its own from this one on.
    pub serves_from: Option<u16>,
}

impl Crowd {
    /// What the containers keep while they sleep, and how many they are: all, or as many as could be started.
    pub fn measure(&self) -> Result<(Footprint, usize)> {
        let shims = Shims::to_come(self.peer)?;
        self.warm_up()?;
        shims.await_end()?;
        kill_server(self.peer)?;
        let baseline = Baseline::take()?;
        let Done { results: ids, refused } = self.start();
        if let Some(error) = refused {
            eprintln!("==> {}: no more than {} of {}: {error:#}", self.name, ids.len(), self.containers);
        }
        ensure!(!ids.is_empty(), "not one container of {} could be started", self.name);
        let footprint = baseline.grown()?;
        remove(&ids)?;
        shims.await_end()?;
        kill_server(self.peer)?;
        Ok((footprint, ids.len()))
    }

    /// Fills the caches by one container, so that compiling is no part of what is measured.
    pub fn warm_up(&self) -> Result<()> {
        let first = self.id("first");
        self.run(0, &first)?;
        remove(&[first])
    }

    /// Starts them, until one is refused or the machine is full; their ids.
    pub fn start(&self) -> Done<String> {
        let ids: Vec<_> = (0..self.containers).map(|number| (number, self.id(&number.to_string()))).collect();
        each(&vec![(); self.at_once], &ids, |(), (number, id)| {
            if let Some(why) = machine::is_full()? {
                bail!("the machine is full: {why}");
            }
            self.run(*number, id)?;
            Ok(id.clone())
        })
    }

    fn id(&self, which: &str) -> String {
        format!("{}-{which}", self.name.replace('_', "-"))
    }

    fn run(&self, number: usize, id: &str) -> Result<()> {
        let image = self.peer.image(self.program);
        let port =
            self.serves_from.map(|first| format!("run.wasm/http-port={}", usize::from(first) + number));
        let serving =
            port.iter().flat_map(|port| ["--with-ns", MACHINES_NETWORK, "--annotation", port.as_str()]);
        let args = ["run", "--detach"].into_iter().chain(self.peer.flags().iter().copied()).chain(serving);
        ctr(args.chain([image.as_str(), id])).map(drop).with_context(|| format!("cannot start {id}"))
    }
}

/// Kills containers and removes them, several at once: the end of each may have to wait, for a reader of its last words. A peer under
/// load may not have ended when ctr, which waits for nobody's end for long, wants to delete its task: then once more.
pub fn remove(ids: &[String]) -> Result<()> {
    let begin = Instant::now();
    loop {
        let removed = try_to_remove(ids);
        if removed.is_ok() || begin.elapsed() > PATIENCE {
            return removed;
        }
        thread::sleep(STEP);
    }
}

fn try_to_remove(ids: &[String]) -> Result<()> {
    let (tasks, containers) = (listed("tasks", ids)?, listed("containers", ids)?);
    in_parts(&tasks, &["tasks", "rm", "--force"])?;
    in_parts(&containers, &["containers", "rm"])
}

/// Those of `ids` that containerd still has.
fn listed(what: &str, ids: &[String]) -> Result<Vec<String>> {
    let there = ctr([what, "ls", "--quiet"])?;
    let there: HashSet<&str> = there.lines().map(str::trim).collect();
    Ok(ids.iter().filter(|id| there.contains(id.as_str())).cloned().collect())
}

fn in_parts(ids: &[String], command: &[&str]) -> Result<()> {
    let parts: Vec<_> = ids.chunks(REMOVED_BY_ONE).collect();
    let done = each(&[(); REMOVERS], &parts, |(), part| {
        ctr(command.iter().copied().chain(part.iter().map(String::as_str)))
    });
    done.all().map(drop)
}
