//! The cgroup of a container: made, joined, measured, removed.
//!
//! Both hierarchies are plain directories, and the moves that matter for a start in a millisecond (being born in a
//! v2 cgroup, moving oneself in v1) are in no library: see docs/decisions/0003-cgroups.md.

mod cpuset;
mod files;
mod freezer;
mod path;
mod scope;
mod v1;
mod v2;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use grants::Cpu;

pub use cpuset::Cpuset;
pub use freezer::Freezing;
use scope::Scope;

/// Where the kernel's cgroup file systems are mounted on every distribution with systemd, and most without.
const ROOT: &str = "/sys/fs/cgroup";

/// How long the kernel may take to let go of a cgroup whose last process has ended.
const LETTING_GO: Duration = Duration::from_secs(2);

/// The limits that a container's cgroup carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    pub cpu: Cpu,
    pub cpuset: Cpuset,
    pub pids: Option<i64>,
    /// v2: files of the cgroup and what is written to them; the kubelet forbids swap by `memory.swap.max` here.
    pub unified: BTreeMap<String, String>,
}

/// How a new process gets into a cgroup.
#[derive(Debug, Default)]
pub struct Membership {
    /// v2: the directory that `clone3` puts it into.
    pub born_in: Option<OwnedFd>,
    /// v1: the `tasks` file of each hierarchy, which it writes itself.
    pub join: Vec<OwnedFd>,
}

/// What a container used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds of CPU: all, in user mode, in the kernel.
    pub cpu: u64,
    pub cpu_user: u64,
    pub cpu_kernel: u64,
    /// CFS periods: all, throttled, and nanoseconds throttled.
    pub periods: u64,
    pub throttled_periods: u64,
    pub throttled: u64,
    /// Bytes.
    pub memory: u64,
    pub memory_peak: u64,
    /// Bytes; `u64::MAX` for none.
    pub memory_limit: u64,
    pub anon: u64,
    pub file: u64,
    pub mapped_file: u64,
    pub kernel: u64,
    pub active_anon: u64,
    pub inactive_anon: u64,
    pub active_file: u64,
    pub inactive_file: u64,
    pub page_faults: u64,
    pub major_page_faults: u64,
    /// Processes and threads.
    pub pids: u64,
    pub pids_limit: u64,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: u64,
}

/// Which generation of cgroups this node's controllers are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

impl Version {
    /// A node whose root has `cgroup.controllers` is unified; hybrid nodes keep their controllers on v1.
    pub fn of_this_node() -> Version {
        if Path::new(ROOT).join("cgroup.controllers").exists() { Version::V2 } else { Version::V1 }
    }
}

/// A container's cgroup: one directory on v2, one per controller on v1.
#[derive(Debug)]
pub struct Cgroup {
    version: Version,
    dirs: Vec<PathBuf>,
    limits: Limits,
    /// The unit that systemd has to be told of.
    scope: Option<Scope>,
    /// v2: the kills for want of memory in the cgroup above and all in it, when this one was made.
    kills_before: u64,
}

impl Cgroup {
    /// Makes the cgroup that a spec's `cgroupsPath` names and sets its limits. A leftover of the same name that holds
    /// no process is taken over.
    pub fn create(cgroups_path: &str, limits: &Limits) -> Result<Cgroup> {
        let version = Version::of_this_node();
        // On v1 a directory has its limits whatever becomes of those above it: systemd need not know it.
        let scope = path::scope(cgroups_path)?.filter(|_| version == Version::V2 && scope::needed());
        let relative = path::relative(cgroups_path)?;
        let dirs = match version {
            // A container that is bound to no processors stays with those of its shim.
            Version::V1 => v1::directories(&relative, !limits.cpuset.is_empty()),
            Version::V2 => vec![Path::new(ROOT).join(&relative)],
        };
        let kills_before = kills_above(&dirs);
        let cgroup = Cgroup { version, dirs, limits: limits.clone(), scope, kills_before };
        let made = cgroup.make().with_context(|| format!("cannot make the cgroup {cgroups_path}"));
        if made.is_err() {
            remove(&cgroup.dirs);
        }
        made.map(|()| cgroup)
    }

    /// One that somebody else makes, limits and removes: to be looked at.
    pub fn of_another(cgroups_path: &str) -> Result<Cgroup> {
        let dirs = all_directories(cgroups_path)?;
        let kills_before = kills_above(&dirs);
        Ok(Cgroup {
            version: Version::of_this_node(),
            dirs,
            limits: Limits::default(),
            scope: None,
            kills_before,
        })
    }

    fn make(&self) -> io::Result<()> {
        for dir in &self.dirs {
            match self.version {
                Version::V1 => make_path(dir)?,
                Version::V2 => v2::create(Path::new(ROOT), dir, !self.limits.cpuset.is_empty())?,
            }
        }
        self.limit()
    }

    fn limit(&self) -> io::Result<()> {
        match self.version {
            Version::V1 => v1::limit(&self.dirs, &self.limits),
            Version::V2 => self.dirs.iter().try_for_each(|dir| v2::limit(dir, &self.limits)),
        }
    }

    /// Sets other limits, where they differ. When that fails it has those that it had.
    pub fn change(&mut self, limits: &Limits) -> io::Result<()> {
        if self.limits == *limits {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.limits, limits.clone());
        let changed = self.lift(&before).and_then(|()| self.limit());
        if changed.is_err() {
            self.limits = before;
            // As far as the kernel lets it: the error that is told is the first.
            drop(self.limit());
        }
        changed
    }

    /// Takes away limits that there were and are not any more, and makes what new ones need.
    fn lift(&self, before: &Limits) -> io::Result<()> {
        let memory = before.memory.is_some() && self.limits.memory.is_none();
        let quota = before.cpu.quota.is_some() && self.limits.cpu.quota.is_none();
        let bound = before.cpuset.is_empty() && !self.limits.cpuset.is_empty();
        for dir in &self.dirs {
            match self.version {
                Version::V1 => v1::lift(dir, memory, quota)?,
                Version::V2 => {
                    v2::lift(dir, memory, quota)?;
                    if bound {
                        v2::create(Path::new(ROOT), dir, true)?;
                    }
                }
            }
        }
        Ok(())
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Has all of its processes stand still, or go on.
    pub fn freeze(&self, still: bool) -> Result<Freezing> {
        freezer::freeze(&self.dirs, still)?
            .context("this node has no freezer, which pausing a container needs")
    }

    /// Tells systemd of the cgroup, where the tree is systemd's: `pid` is the process that was born in it. The limits
    /// hold before and after.
    pub async fn register(&self, pid: i32) -> Result<()> {
        let Some(scope) = &self.scope else { return Ok(()) };
        scope.register(pid, &self.limits).await?;
        // What systemd has written was rounded.
        Ok(self.limit()?)
    }

    /// Tells systemd that the limits have changed, where the tree is systemd's.
    pub fn announce_change(&self) -> Option<impl Future<Output = Result<()>> + use<>> {
        let (scope, limits) = (self.scope.clone()?, self.limits.clone());
        Some(async move { scope.change(&limits).await })
    }

    /// How a process gets in.
    pub fn membership(&self) -> Result<Membership> {
        let mut membership = Membership::default();
        for dir in &self.dirs {
            match self.version {
                Version::V2 => membership.born_in = Some(File::open(dir)?.into()),
                Version::V1 => {
                    let tasks = dir.join("tasks");
                    let open = File::options().write(true).open(&tasks);
                    membership
                        .join
                        .push(open.with_context(|| format!("cannot open {}", tasks.display()))?.into());
                }
            }
        }
        Ok(membership)
    }

    /// The processes in it and in those below it, by the pids that this process knows them by.
    pub fn processes(&self) -> Vec<u32> {
        let lists = self.dirs.iter().map(|dir| files::processes(dir));
        lists.into_iter().find(|pids| !pids.is_empty()).unwrap_or_default()
    }

    /// What was used so far. Missing files read as zero: a controller that the node lacks measures nothing.
    pub fn usage(&self) -> Usage {
        match self.version {
            Version::V1 => v1::usage(&self.dirs),
            Version::V2 => match self.dirs.first().map(|dir| (v2::usage(dir), dir.exists())) {
                // Still there after it was read, so what was read is true.
                Some((usage, true)) => usage,
                _ => self.remembered(),
            },
        }
    }

    /// systemd removes a scope when its last process has ended, maybe before anybody could look at why it did. The cgroup
    /// above has counted its kills, too; with them those of the pod's other containers, of which this one is then believed
    /// to be.
    fn remembered(&self) -> Usage {
        Usage {
            memory_limit: self.limits.memory.unwrap_or(u64::MAX),
            pids_limit: u64::MAX,
            oom_kills: kills_above(&self.dirs).saturating_sub(self.kills_before),
            ..Usage::default()
        }
    }

    /// The directories, for whoever has to clean up after a shim that was killed.
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Removes the cgroup; its processes must have ended.
    pub async fn remove(self) {
        let deadline = tokio::time::Instant::now() + LETTING_GO;
        while is_systemds(&self.dirs) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let deadline = tokio::time::Instant::now() + LETTING_GO;
        while !remove(&self.dirs) {
            if tokio::time::Instant::now() > deadline {
                return tracing::warn!(dirs = ?self.dirs, "a cgroup still holds processes and stays behind");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Has processes that stand still in these directories go on, so that they can end.
pub fn thaw(dirs: &[PathBuf]) {
    if let Err(error) = freezer::freeze(dirs, false) {
        tracing::warn!(%error, "a cgroup cannot be thawed");
    }
}

/// The kills for want of memory in the cgroup above, since that was made; zero where there is none yet.
fn kills_above(dirs: &[PathBuf]) -> u64 {
    dirs.first().and_then(|dir| dir.parent()).map_or(0, v2::kills)
}

/// Those that an OCI runtime may make for it: on v1 one in every hierarchy, whatever its controller.
pub fn all_directories(cgroups_path: &str) -> Result<Vec<PathBuf>> {
    match Version::of_this_node() {
        Version::V1 => Ok(v1::all_directories(&path::relative(cgroups_path)?)),
        Version::V2 => directories(cgroups_path),
    }
}

/// Whether a spec's `cgroupsPath` is of the form of systemd's driver.
pub fn names_a_scope(cgroups_path: &str) -> bool {
    path::scope(cgroups_path).is_ok_and(|scope| scope.is_some())
}

/// The directories that a spec's `cgroupsPath` may mean on this node, made or not.
pub fn directories(cgroups_path: &str) -> Result<Vec<PathBuf>> {
    let relative = path::relative(cgroups_path)?;
    Ok(match Version::of_this_node() {
        Version::V1 => v1::directories(&relative, false),
        Version::V2 => vec![Path::new(ROOT).join(&relative)],
    })
}

/// Makes a directory and those above it, also while another container's end removes an empty one above it.
fn make_path(dir: &Path) -> io::Result<()> {
    let mut result = Ok(());
    for _ in 0..8 {
        result = fs::create_dir_all(dir);
        match &result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => break,
        }
    }
    result
}

/// Whether systemd is about to remove these directories. It takes a scope away whose last process has ended, and would wait for
/// ever for that if somebody else were faster.
pub fn is_systemds(dirs: &[PathBuf]) -> bool {
    let scope = |dir: &PathBuf| dir.extension().is_some_and(|kind| kind == "scope") && dir.exists();
    scope::needed() && dirs.iter().any(scope)
}

/// Removes directories, and containerd's folder for its namespace when that was the last in it; false while one of
/// them still holds a process.
pub fn remove(dirs: &[PathBuf]) -> bool {
    // All are tried, so that one that is busy keeps no other.
    let busy =
        |dir: &&PathBuf| fs::remove_dir(dir).is_err_and(|error| error.kind() != io::ErrorKind::NotFound);
    let left = dirs.iter().filter(busy).count();
    for namespace in dirs.iter().filter_map(|dir| dir.parent()).filter(|parent| is_top_level(parent)) {
        // Others' containers may be in it.
        drop(fs::remove_dir(namespace));
    }
    left == 0
}

/// `<root>/<controller>/<name>` or `<root>/<name>`: what `ctr` and nerdctl put containers into. Pods' folders are
/// deeper, and the kubelet's.
fn is_top_level(dir: &Path) -> bool {
    let depth = dir.strip_prefix(ROOT).map_or(0, |relative| relative.components().count());
    depth == if Version::of_this_node() == Version::V1 { 2 } else { 1 }
}
