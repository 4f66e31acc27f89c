//! cgroup v2: one directory, whose ancestors have to pass their controllers down.

use std::fs;
use std::io;
use std::path::Path;

use super::files::{Table, number, write};
use super::{Limits, Usage};

const CONTROLLERS: [&str; 4] = ["cpu", "memory", "pids", "io"];

/// Makes a cgroup and turns on, from the root down, the controllers that it needs. `bound`: to processors or memory nodes.
pub fn create(root: &Path, dir: &Path, bound: bool) -> io::Result<()> {
    super::make_path(dir)?;
    let mut above: Vec<&Path> = dir.ancestors().skip(1).take_while(|path| path.starts_with(root)).collect();
    above.reverse();
    for path in above {
        let enabled = fs::read_to_string(path.join("cgroup.subtree_control")).unwrap_or_default();
        let offered = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
        let missing = CONTROLLERS
            .iter()
            .chain(bound.then_some(&"cpuset"))
            .filter(|name| offered.split_whitespace().any(|other| other == **name))
            .filter(|name| !enabled.split_whitespace().any(|other| other == **name));
        for name in missing {
            write(path, "cgroup.subtree_control", format!("+{name}"))?;
        }
    }
    Ok(())
}

pub fn limit(dir: &Path, limits: &Limits) -> io::Result<()> {
    if let Some(memory) = limits.memory {
        write(dir, "memory.max", memory)?;
    }
    write(dir, "cpu.weight", weight(limits.cpu.shares))?;
    if let Some(quota) = limits.cpu.quota {
        write(dir, "cpu.max", format!("{quota} {}", limits.cpu.period))?;
    }
    if let Some(pids) = limits.pids.filter(|pids| *pids > 0) {
        write(dir, "pids.max", pids)?;
    }
    limits.cpuset.write(dir)?;
    for (file, value) in &limits.unified {
        if !is_a_controllers(file) {
            return Err(io::Error::other(format!(
                "linux.resources.unified of the spec names {file:?}: only files of controllers can be set, such as memory.high"
            )));
        }
        write(dir, file, value)?;
    }
    Ok(())
}

/// Takes limits away.
pub fn lift(dir: &Path, memory: bool, quota: bool) -> io::Result<()> {
    for (file, gone) in [("memory.max", memory), ("cpu.max", quota)] {
        if gone {
            write(dir, file, "max")?;
        }
    }
    Ok(())
}

/// Whether a file is a controller's setting of this very cgroup; those of the core, `cgroup.procs` and so on, are not.
fn is_a_controllers(file: &str) -> bool {
    !file.contains('/')
        && file.split_once('.').is_some_and(|(controller, _)| CONTROLLERS.contains(&controller))
}

/// v1 shares, 2 to 262144, as a v2 weight, 1 to 10000: the mapping of KEP-2254, which runc and crun use.
pub fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

pub fn usage(dir: &Path) -> Usage {
    let cpu = Table::read(dir, "cpu.stat");
    let memory = Table::read(dir, "memory.stat");
    Usage {
        cpu: cpu.get("usage_usec") * 1000,
        cpu_user: cpu.get("user_usec") * 1000,
        cpu_kernel: cpu.get("system_usec") * 1000,
        periods: cpu.get("nr_periods"),
        throttled_periods: cpu.get("nr_throttled"),
        throttled: cpu.get("throttled_usec") * 1000,
        memory: number(dir, "memory.current").unwrap_or(0),
        memory_peak: number(dir, "memory.peak").unwrap_or(0),
        memory_limit: number(dir, "memory.max").unwrap_or(u64::MAX),
        anon: memory.get("anon"),
        file: memory.get("file"),
        mapped_file: memory.get("file_mapped"),
        kernel: memory.get("kernel"),
        active_anon: memory.get("active_anon"),
        inactive_anon: memory.get("inactive_anon"),
        active_file: memory.get("active_file"),
        inactive_file: memory.get("inactive_file"),
        page_faults: memory.get("pgfault"),
        major_page_faults: memory.get("pgmajfault"),
        pids: number(dir, "pids.current").unwrap_or(0),
        pids_limit: number(dir, "pids.max").unwrap_or(u64::MAX),
        oom_kills: kills(dir),
    }
}

/// The processes of a cgroup and of those below it that the kernel killed for want of memory.
pub fn kills(dir: &Path) -> u64 {
    Table::read(dir, "memory.events").get("oom_kill")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_controllers_can_be_set() {
        assert!(is_a_controllers("memory.swap.max") && is_a_controllers("cpu.weight"));
        for file in ["cgroup.procs", "memory", "../memory.max", "memory./../../x", "", "cpuset.cpus"] {
            assert!(!is_a_controllers(file), "{file}");
        }
    }

    #[test]
    fn shares_become_weights_at_both_ends_and_in_the_middle() {
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 39, 10_000));
    }
}
