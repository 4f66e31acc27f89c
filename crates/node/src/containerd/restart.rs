//! Who restarts containerd.

use anyhow::{Context, Result, bail};

use super::systemd;
use crate::distro::Distro;
use crate::inside;
use crate::paths::Root;

#[derive(Debug, Clone)]
pub enum Restart {
    /// The unit of the distribution, by systemd's D-Bus interface.
    Systemd,
    /// A command of the admin's, for `sh -c`.
    Command(String),
}

impl Restart {
    /// Whether it can be done, as far as that is known beforehand.
    pub async fn check(&self, root: &Root, distro: Distro) -> Result<()> {
        match self {
            Restart::Systemd => systemd::check(root, distro.units()).await,
            Restart::Command(_) => Ok(()),
        }
    }

    /// Whether somebody restarts it just now, as far as that can be known.
    pub async fn is_under_way(&self, root: &Root, distro: Distro) -> bool {
        match self {
            Restart::Systemd => systemd::has_job(root, distro.units()).await.unwrap_or(false),
            Restart::Command(_) => false,
        }
    }

    pub async fn run(&self, root: &Root, distro: Distro) -> Result<()> {
        match self {
            Restart::Systemd => systemd::restart(root, distro.units()).await,
            Restart::Command(line) => {
                let mut command = inside::command(root, "/bin/sh".as_ref())?;
                let status = command.args(["-c", line]).kill_on_drop(true).status().await;
                let status = status.with_context(|| format!("cannot run the restart command `{line}`"))?;
                if !status.success() {
                    bail!("the restart command `{line}` failed: {status}");
                }
                Ok(())
            }
        }
    }
}
