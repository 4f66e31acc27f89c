//! What the kernel says of a container's cgroup, on either version.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

const ROOT: &str = "/sys/fs/cgroup";

/// The folders of a container that `ctr` has put into `/<namespace>/<id>`: one, or one of each hierarchy.
fn folders(namespace: &str, id: &str) -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    let hierarchies = fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
    let places = hierarchies.map(|entry| entry.path()).chain([root.to_owned()]);
    places.map(|place| place.join(namespace).join(id)).filter(|folder| folder.is_dir()).collect()
}

/// A file of the cgroup; `None` where none of its folders has it.
fn read(namespace: &str, id: &str, file: &str) -> Option<String> {
    folders(namespace, id).iter().find_map(|folder| fs::read_to_string(folder.join(file)).ok())
}

/// The number of a line `KEY NUMBER`.
fn field(table: &str, key: &str) -> Option<u64> {
    table.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Gives all containers of a namespace the largest weight that there is: what else the machine does counts little beside
/// them.
pub(crate) fn favour(namespace: &str) -> Result<()> {
    let (mut heaviest, root) = (false, Path::new(ROOT));
    let hierarchies = fs::read_dir(root)?.filter_map(Result::ok).map(|entry| entry.path());
    for place in hierarchies.chain([root.to_owned()]) {
        for (file, most) in [("cpu.shares", "262144"), ("cpu.weight", "10000")] {
            let file = place.join(namespace).join(file);
            if file.exists() {
                fs::write(&file, most).with_context(|| format!("cannot write {}", file.display()))?;
                heaviest = true;
            }
        }
    }
    anyhow::ensure!(heaviest, "{namespace} has no cgroup with a weight");
    Ok(())
}

/// CPU time used so far.
pub(crate) fn cpu_time(namespace: &str, id: &str) -> Result<Duration> {
    let first = read(namespace, id, "cpuacct.usage").and_then(|text| text.trim().parse().ok());
    let second = || field(&read(namespace, id, "cpu.stat")?, "usage_usec").map(Duration::from_micros);
    first.map(Duration::from_nanos).or_else(second).with_context(|| format!("{id} has no CPU time"))
}

/// Whether it was ever held back by its quota.
pub(crate) fn throttled(namespace: &str, id: &str) -> Result<bool> {
    let stat = read(namespace, id, "cpu.stat").with_context(|| format!("{id} has no cpu.stat"))?;
    Ok(field(&stat, "nr_throttled").is_some_and(|periods| periods > 0))
}
