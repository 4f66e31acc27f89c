//! cgroup v1: a directory per controller. Only the controllers that limit or measure a Wasm host are joined; devices
//! is not among them, because a host in its jail has no device node and cannot make one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cpuset;
use super::files::{Table, number, write};
use super::{Limits, ROOT, Usage};

const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "freezer"];

const NO_CPUSET: &str =
    "this node has no cpuset controller, which linux.resources.cpu.cpus and mems of the spec need";

/// The container's directories: one for each hierarchy that carries one of our controllers. `cpu` and `cpuacct` are
/// one hierarchy on most nodes, with a link for each name. `bound`: to processors or memory nodes.
pub fn directories(relative: &Path, bound: bool) -> Vec<PathBuf> {
    let controllers = CONTROLLERS.iter().chain(bound.then_some(&"cpuset"));
    each_once(controllers.map(|controller| Path::new(ROOT).join(controller)), relative)
}

/// The container's directories in all hierarchies of the node.
pub fn all_directories(relative: &Path) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir(ROOT).into_iter().flatten().flatten().map(|entry| entry.path());
    each_once(hierarchies.filter(|path| path.is_dir()), relative)
}

fn each_once(hierarchies: impl Iterator<Item = PathBuf>, relative: &Path) -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = hierarchies
        .filter_map(|hierarchy| fs::canonicalize(hierarchy).ok())
        .map(|hierarchy| hierarchy.join(relative))
        .collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

fn with<'a>(dirs: &'a [PathBuf], file: &str) -> Option<&'a PathBuf> {
    dirs.iter().find(|dir| dir.join(file).exists())
}

pub fn limit(dirs: &[PathBuf], limits: &Limits) -> io::Result<()> {
    if let (Some(memory), Some(dir)) = (limits.memory, with(dirs, "memory.limit_in_bytes")) {
        write(dir, "memory.limit_in_bytes", memory)?;
    }
    if let Some(dir) = with(dirs, "cpu.shares") {
        write(dir, "cpu.shares", limits.cpu.shares.max(2))?;
        if let Some(quota) = limits.cpu.quota {
            write(dir, "cpu.cfs_period_us", limits.cpu.period)?;
            write(dir, "cpu.cfs_quota_us", quota)?;
        }
    }
    if !limits.cpuset.is_empty() {
        let Some(dir) = with(dirs, "cpuset.cpus") else { return Err(io::Error::other(NO_CPUSET)) };
        cpuset::inherit(dir.parent().unwrap_or(dir))?;
        limits.cpuset.write(dir)?;
        cpuset::inherit(dir)?;
    }
    if let (Some(pids), Some(dir)) = (limits.pids.filter(|pids| *pids > 0), with(dirs, "pids.max")) {
        write(dir, "pids.max", pids)?;
    }
    Ok(())
}

/// Takes limits away.
pub fn lift(dir: &Path, memory: bool, quota: bool) -> io::Result<()> {
    for (file, gone) in [("memory.limit_in_bytes", memory), ("cpu.cfs_quota_us", quota)] {
        if gone && dir.join(file).exists() {
            write(dir, file, -1)?;
        }
    }
    Ok(())
}

pub fn usage(dirs: &[PathBuf]) -> Usage {
    let mut usage = Usage { memory_limit: u64::MAX, pids_limit: u64::MAX, ..Usage::default() };
    if let Some(dir) = with(dirs, "cpuacct.usage") {
        usage.cpu = number(dir, "cpuacct.usage").unwrap_or(0);
        usage.cpu_user = number(dir, "cpuacct.usage_user").unwrap_or(0);
        usage.cpu_kernel = number(dir, "cpuacct.usage_sys").unwrap_or(0);
    }
    if let Some(dir) = with(dirs, "cpu.stat") {
        let stat = Table::read(dir, "cpu.stat");
        usage.periods = stat.get("nr_periods");
        usage.throttled_periods = stat.get("nr_throttled");
        usage.throttled = stat.get("throttled_time");
    }
    if let Some(dir) = with(dirs, "memory.stat") {
        let stat = Table::read(dir, "memory.stat");
        usage.memory = number(dir, "memory.usage_in_bytes").unwrap_or(0);
        usage.memory_peak = number(dir, "memory.max_usage_in_bytes").unwrap_or(0);
        usage.memory_limit = stat.get("hierarchical_memory_limit");
        usage.anon = stat.get("total_rss");
        usage.file = stat.get("total_cache");
        usage.mapped_file = stat.get("total_mapped_file");
        usage.kernel = number(dir, "memory.kmem.usage_in_bytes").unwrap_or(0);
        usage.active_anon = stat.get("total_active_anon");
        usage.inactive_anon = stat.get("total_inactive_anon");
        usage.active_file = stat.get("total_active_file");
        usage.inactive_file = stat.get("total_inactive_file");
        usage.page_faults = stat.get("total_pgfault");
        usage.major_page_faults = stat.get("total_pgmajfault");
        usage.oom_kills = Table::read(dir, "memory.oom_control").get("oom_kill");
    }
    if let Some(dir) = with(dirs, "pids.current") {
        usage.pids = number(dir, "pids.current").unwrap_or(0);
        usage.pids_limit = number(dir, "pids.max").unwrap_or(u64::MAX);
    }
    usage
}
