//! What can be done to a node, whole: the commands and the agent call these.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::carry::journal::Journal;
use crate::carry::{self, binaries, files, lock};
use crate::checks;
use crate::containerd::{Containerd, Task};
use crate::look::look;
use crate::model::{Found, Plan, Wanted};
use crate::paths::{CACHE, GONE, HOME, LOCK, NODE_CONFIG, RECORD, Root};
use crate::plan;
use crate::say;

/// What an installation is made of.
#[derive(Debug, Clone, clap::Args)]
pub struct Source {
    /// The node config to install; without it, the one that is there stays.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder with containerd-shim-run-v2 and run-wasm; by default that of this program.
    #[arg(long, value_name = "DIR")]
    pub binaries: Option<PathBuf>,
}

impl Source {
    /// Whether it says anything.
    pub fn is_given(&self) -> bool {
        self.config.is_some() || self.binaries.is_some()
    }

    fn folder(&self) -> Result<PathBuf> {
        match &self.binaries {
            Some(folder) => Ok(folder.clone()),
            None => {
                let this = std::env::current_exe().context("cannot find the running program")?;
                Ok(this.parent().unwrap_or(Path::new("/")).to_owned())
            }
        }
    }

    pub fn wanted(&self) -> Result<Wanted> {
        let config = match &self.config {
            None => None,
            Some(path) => {
                let shown = path.display().to_string();
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read the node config {shown}"))?;
                plan::check_node_config(&shown, &text)?;
                Some(text)
            }
        };
        Ok(Wanted { release: binaries::release(&self.folder()?)?, config })
    }
}

/// What a command has done.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    Nothing,
    Changed { restarted: bool },
}

impl Done {
    /// A line about it; `word` says what was done.
    pub fn told(&self, word: &str) -> String {
        match self {
            Done::Nothing => "nothing to do: the node is as it should be".into(),
            Done::Changed { restarted: true } => format!("{word}; containerd was restarted"),
            Done::Changed { restarted: false } => format!("{word}; containerd goes on as it is"),
        }
    }
}

#[derive(Debug)]
pub struct Node {
    pub containerd: Containerd,
}

impl Node {
    fn root(&self) -> &Root {
        &self.containerd.root
    }

    /// What an installation would do.
    pub async fn plan(&self, source: &Source) -> Result<Plan> {
        let found = look(&self.containerd, false).await?;
        Ok(plan::install(&found, &source.wanted()?)?)
    }

    /// What an uninstallation would do.
    pub async fn plan_removal(&self) -> Result<Plan> {
        Ok(plan::uninstall(&look(&self.containerd, true).await?, false))
    }

    pub async fn install(&self, source: &Source) -> Result<Done> {
        // All that can be known to be wrong is said before the first write.
        let wanted = source.wanted()?;
        let _lock = lock::take(self.root())?;
        files::remove(&self.root().at(GONE)).with_context(|| format!("cannot remove {GONE}"))?;
        carry::recover(self.root(), &self.containerd).await?;
        let found = look(&self.containerd, false).await?;
        let plan = plan::install(&found, &wanted)?;
        self.check(&found, &wanted, &plan)?;
        let folder = source.folder()?;
        binaries::refuse_full_disk(self.root(), &folder, &wanted.release)?;
        let staged = binaries::stage(self.root(), &folder, &wanted.release);
        self.finish(&found, &plan, &wanted, staged).await
    }

    /// Makes the node again what was installed.
    ///
    /// # Errors
    /// Nothing was installed, or its programs are gone.
    pub async fn repair(&self) -> Result<Done> {
        let _lock = lock::take(self.root())?;
        carry::recover(self.root(), &self.containerd).await?;
        let found = look(&self.containerd, false).await?;
        let Some(record) = found.record.clone() else {
            bail!("run-wasm is not installed on this node: `run-wasm-node install` does it")
        };
        let wanted = Wanted { release: record.release, config: record.config };
        if !binaries::is_whole(self.root(), &wanted.release) {
            bail!("the programs of {} are not whole: install them again", wanted.release.folder().display());
        }
        let plan = plan::install(&found, &wanted)?;
        self.check(&found, &wanted, &plan)?;
        self.finish(&found, &plan, &wanted, Ok(())).await
    }

    /// Refuses what would make an installation useless, or leave it half done.
    fn check(&self, found: &Found, wanted: &Wanted, plan: &Plan) -> Result<()> {
        let config = wanted.config.as_deref().or(found.state(NODE_CONFIG).text()).unwrap_or_default();
        checks::refuse_noexec(self.root(), config)?;
        checks::refuse_read_only(self.root(), plan.changes.iter().map(|change| &change.path))
    }

    async fn finish(&self, found: &Found, plan: &Plan, wanted: &Wanted, staged: Result<()>) -> Result<Done> {
        let known = found.handlers.clone().unwrap_or_default();
        let carried = match staged {
            Ok(()) => carry::carry_out(self.root(), plan, &known, &self.containerd).await,
            Err(error) => Err(error.context("nothing has changed on this node")),
        };
        match carried {
            Ok(()) => {
                binaries::collect(self.root(), Some(&wanted.release));
                Ok(done(plan))
            }
            // Whoever puts the node back needs the programs.
            Err(error) if Journal::read(self.root()).is_ok_and(|journal| journal.is_none()) => {
                binaries::collect(self.root(), found.record.as_ref().map(|record| &record.release));
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes everything away. With `force` also while pods of ours run: they go on, and their programs stay.
    pub async fn uninstall(&self, force: bool) -> Result<Done> {
        let _lock = lock::take(self.root())?;
        carry::recover(self.root(), &self.containerd).await?;
        let found = look(&self.containerd, true).await?;
        let tasks = self.containerd.tasks().await;
        let running = match (&tasks, force) {
            (Ok(tasks), _) if tasks.is_empty() => false,
            (Ok(tasks), false) => bail!("{}", still_running(tasks)),
            (Ok(tasks), true) => {
                say!("{} of run-wasm's tasks go on; their programs stay until they have ended", tasks.len());
                true
            }
            (Err(error), false) => bail!(
                "{error:#}, so nobody knows whether pods of run-wasm run: --force uninstalls all the same"
            ),
            (Err(_), true) => true,
        };
        let plan = plan::uninstall(&found, running);
        checks::refuse_read_only(self.root(), plan.changes.iter().map(|change| &change.path))?;
        carry::carry_out(self.root(), &plan, &found.handlers.clone().unwrap_or_default(), &self.containerd)
            .await?;
        if !running {
            self.sweep()?;
        }
        Ok(done(&plan))
    }

    /// Ends an uninstallation that left programs for pods, when these have ended.
    pub async fn tidy(&self) -> Result<()> {
        let has_left = fs::read_dir(self.root().at(HOME)).is_ok_and(|mut entries| entries.next().is_some());
        if has_left && self.containerd.tasks().await?.is_empty() {
            self.uninstall(false).await?;
        }
        Ok(())
    }

    /// Says for `verify --gone` that the agent has uninstalled. It lies where a reboot forgets it.
    pub fn mark_gone(&self) -> Result<()> {
        let path = self.root().at(GONE);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))
            .with_context(|| format!("cannot write {GONE}"))?;
        files::write(&path, b"").with_context(|| format!("cannot write {GONE}"))
    }

    pub fn is_marked_gone(&self) -> bool {
        self.root().at(GONE).exists()
    }

    /// Removes what no plan names: programs, compiled code, folders that are empty now.
    fn sweep(&self) -> Result<()> {
        binaries::collect(self.root(), None);
        files::remove_all_in(&self.root().at(CACHE)).with_context(|| format!("cannot empty {CACHE}"))?;
        files::remove(&self.root().at(LOCK)).with_context(|| format!("cannot remove {LOCK}"))?;
        // Others may have put something there, and in a pod some are mounts.
        for folder in [
            Path::new(CACHE),
            Path::new(HOME),
            Path::new(NODE_CONFIG).parent().unwrap_or(Path::new(RECORD)),
            Path::new("/etc/containerd/conf.d"),
        ] {
            let _ = fs::remove_dir(self.root().at(folder));
        }
        Ok(())
    }
}

fn done(plan: &Plan) -> Done {
    if plan.is_empty() { Done::Nothing } else { Done::Changed { restarted: plan.restart } }
}

fn still_running(tasks: &[Task]) -> String {
    let name = |task: &Task| task.pod.clone().unwrap_or_else(|| format!("{}/{}", task.namespace, task.id));
    let mut names: Vec<String> = tasks.iter().map(name).collect();
    names.sort();
    names.dedup();
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(5);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(
        "pods of run-wasm run on this node: {shown}{more}: drain the node first, or uninstall with --force and they go on without it"
    )
}
