//! Running the node's own programs, which need the node's libraries: in its root.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::Root;

/// The hidden command by which this program enters another root: changing it after a fork would need `unsafe`.
pub const NAME: &str = "inside";

#[derive(Debug, clap::Args)]
pub struct Args {
    root: PathBuf,
    program: PathBuf,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl Args {
    /// Becomes the program.
    pub fn run(self) -> Result<()> {
        let shown = self.root.display().to_string();
        rustix::process::chroot(&self.root)
            .with_context(|| format!("cannot enter {shown}: CAP_SYS_CHROOT is needed"))?;
        std::env::set_current_dir("/").with_context(|| format!("cannot enter {shown}"))?;
        let error = Command::new(&self.program).args(self.args).exec();
        Err(error).with_context(|| format!("cannot run {} in {shown}", self.program.display()))
    }
}

/// A command of the node.
pub fn command(root: &Root, program: &Path) -> Result<tokio::process::Command> {
    if root.is_ours() {
        return Ok(tokio::process::Command::new(program));
    }
    let this = std::env::current_exe().context("cannot find the running program")?;
    let mut command = tokio::process::Command::new(this);
    command.arg(NAME).arg(root.folder()).arg(program);
    Ok(command)
}
