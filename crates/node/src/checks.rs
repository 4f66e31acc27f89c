//! What would make an installation useless, found before anything is changed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{StatVfsMountFlags, statvfs};

use crate::model::Refusal;
use crate::paths::{HOME, Root};
use crate::plan::check_node_config;

/// Refuses folders from which no code can be mapped or run.
pub fn refuse_noexec(root: &Root, node_config: &str) -> Result<()> {
    let policy =
        check_node_config("of this node", node_config).map_err(|Refusal(why)| anyhow::anyhow!(why))?;
    let folders = [
        (
            policy.cache.dir,
            "compiled code is mapped from there: mount it without noexec, or set `cache.dir` in the node config",
        ),
        (PathBuf::from(HOME), "the shim is run from there: mount it without noexec"),
    ];
    for (folder, cure) in folders {
        let place = existing(&root.at(&folder));
        let disk = statvfs(&place).with_context(|| format!("cannot look at {}", folder.display()))?;
        if disk.f_flag.contains(StatVfsMountFlags::NOEXEC) {
            bail!("{} is on a file system that is mounted noexec, and {cure}", folder.display());
        }
    }
    Ok(())
}

/// Refuses folders that are mounted read-only.
pub fn refuse_read_only<'a>(root: &Root, paths: impl Iterator<Item = &'a PathBuf>) -> Result<()> {
    for path in paths {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let disk = statvfs(existing(&root.at(folder)))
            .with_context(|| format!("cannot look at {}", folder.display()))?;
        if disk.f_flag.contains(StatVfsMountFlags::RDONLY) {
            bail!(
                "{} is on a file system that is mounted read-only: nothing has been changed",
                folder.display()
            );
        }
    }
    Ok(())
}

/// The path itself, or the nearest folder above it that is there.
pub fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}
