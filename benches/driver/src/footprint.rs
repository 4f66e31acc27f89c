//! What containers keep: PSS of all the processes that they brought, and the kernel's part.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::processes::processes;

/// What of `/proc/meminfo` the kernel keeps for processes, mounts and cgroups.
const KERNEL_FIELDS: [&str; 4] = ["Slab", "PageTables", "KernelStack", "Percpu"];

/// How long the machine is given to come to rest, at most, and the rest that is wanted.
const SETTLING: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(500);
const REST_KIB: f64 = 256.0;

/// The machine before there were containers.
pub struct Baseline {
    processes: BTreeSet<u32>,
    kernel: f64,
}

/// What has come since; memory in KiB.
#[derive(Debug, Clone, Copy)]
pub struct Footprint {
    pub pss: f64,
    pub kernel: f64,
    pub processes: usize,
}

impl Baseline {
    /// Waits for a machine at rest.
    pub fn take() -> Result<Baseline> {
        Ok(Baseline { kernel: settled(kernel)?, processes: processes()? })
    }

    /// What has been added, once that rests, too.
    pub fn grown(&self) -> Result<Footprint> {
        let pss_now = || Ok(self.own()?.into_iter().map(pss).sum::<f64>());
        // A guest that has been started may still be on its way to its rest.
        let pss = settled(pss_now)?;
        Ok(Footprint { pss, kernel: settled(kernel)? - self.kernel, processes: self.own()?.len() })
    }

    fn own(&self) -> Result<Vec<u32>> {
        Ok(processes()?.difference(&self.processes).copied().collect())
    }
}

/// A process' proportional share of memory, in KiB; nothing of one that has gone or is a zombie.
pub fn pss(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    field(&rollup, "Pss").unwrap_or(0.0)
}

/// The same without what lies in tmpfs and other shared memory, which is there with and without processes.
pub fn pss_unshared(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    ["Pss_Anon", "Pss_File"].iter().filter_map(|name| field(&rollup, name)).sum()
}

/// A number of KiB, once it has come to rest.
pub fn settled(read: impl Fn() -> Result<f64>) -> Result<f64> {
    let begin = Instant::now();
    let mut last = read()?;
    loop {
        std::thread::sleep(STEP);
        let now = read()?;
        if (now - last).abs() < REST_KIB || begin.elapsed() > SETTLING {
            return Ok(now);
        }
        last = now;
    }
}

/// What the kernel keeps, in KiB. Names and inodes that nobody has open, which it keeps in case somebody asks for them again and gives
/// back to whoever needs memory, go first: they are of the clients that came and went, and of whatever was measured before.
pub fn kernel() -> Result<f64> {
    drop_caches("2")?;
    meminfo(&KERNEL_FIELDS)
}

/// The machine's memory that is not free, in KiB. What the kernel keeps of files that nobody has mapped goes first: it is there for as
/// long as nobody else needs the room.
pub fn in_use() -> Result<f64> {
    rustix::fs::sync();
    drop_caches("3")?;
    Ok(meminfo(&["MemTotal"])? - meminfo(&["MemFree"])?)
}

/// Has the kernel forget what it only caches: 2: names and inodes, 3: files' contents, too.
fn drop_caches(which: &str) -> Result<()> {
    fs::write("/proc/sys/vm/drop_caches", which).context("cannot drop what the kernel caches")
}

/// The sum of fields of `/proc/meminfo`, in KiB.
pub fn meminfo(names: &[&str]) -> Result<f64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let part = |name: &&str| field(&meminfo, name).with_context(|| format!("/proc/meminfo has no {name}"));
    names.iter().map(part).sum()
}

/// The number of a line `NAME: NUMBER kB`.
pub fn field(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "PssDirty:  3 kB\nPss:       12 kB\n";
        assert_eq!(field(text, "Pss"), Some(12.0));
    }
}
