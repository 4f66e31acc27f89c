//! The commands.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::containerd::{Containerd, Restart};
use crate::distro::Distro;
use crate::node::{Node, Source};
use crate::paths::Root;
use crate::{agent, inside, look, say, show};

/// Installs run-wasm on a node, and takes it away again.
#[derive(Debug, Parser)]
#[command(name = "run-wasm-node", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

/// Which node, and which containerd of it.
#[derive(Debug, clap::Args)]
pub struct Host {
    /// Where the node's root is mounted.
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    host_root: PathBuf,
    /// Whose containerd it is, where the node does not tell.
    #[arg(long, global = true, value_enum)]
    distro: Option<Distro>,
    /// containerd's config, where it is not the distribution's.
    #[arg(long, global = true, value_name = "FILE")]
    containerd_config: Option<PathBuf>,
    /// containerd's socket, where it is not the distribution's.
    #[arg(long, global = true, value_name = "SOCKET")]
    containerd_socket: Option<PathBuf>,
    /// containerd's program, which checks the config, where it is not found.
    #[arg(long, global = true, value_name = "FILE")]
    containerd: Option<PathBuf>,
    /// What restarts containerd, for `sh -c`, on a node without systemd.
    #[arg(long, global = true, value_name = "COMMAND")]
    restart_command: Option<String>,
    /// How long containerd may take to restart, in seconds. A server of RKE2 takes minutes.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 300)]
    restart_timeout: u64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what would be done; change nothing.
    Plan {
        #[command(flatten)]
        source: Source,
        /// What `uninstall` would do.
        #[arg(long)]
        uninstall: bool,
    },
    /// Install or upgrade; a second time changes nothing.
    Install(Source),
    /// Tell whether the node is as it was installed; exit code 1 when it is not. With --config or --binaries: and whether that is
    /// what was installed.
    Verify {
        #[command(flatten)]
        source: Source,
        /// Tell whether the agent has uninstalled instead.
        #[arg(long, conflicts_with_all = ["config", "binaries", "repair"])]
        gone: bool,
        /// Make it so, also after a run that was killed.
        #[arg(long, conflicts_with_all = ["config", "binaries"])]
        repair: bool,
        /// Tell by the exit code alone.
        #[arg(long)]
        quiet: bool,
    },
    /// Take everything away again.
    Uninstall {
        /// Also while pods of run-wasm run: they go on.
        #[arg(long)]
        force: bool,
    },
    /// Install, watch over it and label the node: what the DaemonSet runs.
    Agent(agent::Args),
    /// What the Helm chart calls.
    #[command(subcommand)]
    Hook(agent::Hook),
    #[command(name = inside::NAME, hide = true)]
    Inside(inside::Args),
}

impl Cli {
    /// Carries the command out and writes its result to `out`.
    ///
    /// # Errors
    /// A chain of sentences that names the file or option and the cure.
    pub fn run(self, out: &mut impl Write) -> Result<ExitCode> {
        if let Command::Inside(args) = self.command {
            return args.run().map(|()| ExitCode::SUCCESS);
        }
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build();
        tokio.context("cannot start the async runtime")?.block_on(run(self.host, self.command, out))
    }
}

async fn run(host: Host, command: Command, out: &mut impl Write) -> Result<ExitCode> {
    match command {
        Command::Plan { source, uninstall: false } => {
            write!(out, "{}", show::plan(&host.node()?.plan(&source).await?))?
        }
        Command::Plan { uninstall: true, .. } => {
            write!(out, "{}", show::plan(&host.node()?.plan_removal().await?))?
        }
        Command::Install(source) => {
            writeln!(out, "{}", host.node()?.install(&source).await?.told("installed"))?
        }
        Command::Uninstall { force } => {
            writeln!(out, "{}", host.node()?.uninstall(force).await?.told("uninstalled"))?
        }
        Command::Verify { source, gone, repair, quiet } => {
            let node = host.node()?;
            if repair {
                let done = node.repair().await?;
                if !quiet {
                    writeln!(out, "{}", done.told("repaired"))?;
                }
            }
            let source = source.is_given().then_some(&source);
            let differences = if gone { node.remains()? } else { node.differences(source).await? };
            return Ok(verdict(&differences, quiet));
        }
        Command::Agent(args) => args.run(host.node()?).await?,
        Command::Hook(hook) => hook.run().await?,
        Command::Inside(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn verdict(differences: &[String], quiet: bool) -> ExitCode {
    if !quiet {
        differences.iter().for_each(|difference| say!("{difference}"));
    }
    if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Host {
    fn node(self) -> Result<Node> {
        let root = Root::new(&self.host_root);
        let distro = self.distro.map_or_else(|| look::distro(&root), Ok)?;
        let containerd = Containerd {
            config: self.containerd_config.unwrap_or_else(|| distro.config()),
            socket: self.containerd_socket.unwrap_or_else(|| distro.socket().to_owned()),
            program: self.containerd.or_else(|| look::program(&root, distro)),
            restart: self.restart_command.map_or(Restart::Systemd, Restart::Command),
            patience: Duration::from_secs(self.restart_timeout),
            root,
            distro,
        };
        Ok(Node { containerd })
    }
}
