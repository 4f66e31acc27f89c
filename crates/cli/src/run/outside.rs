//! A run as whoever asked for it sees it: started, told of signals, waited for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use super::channel::{Channel, Job, News, Order};

/// One run. When it is dropped, all of it ends at once.
#[derive(Debug)]
pub struct Instance {
    child: Child,
    channel: Channel,
}

/// What is handed over with a job.
#[derive(Debug)]
pub struct Given<'a> {
    pub stdin: BorrowedFd<'a>,
    pub listeners: Vec<BorrowedFd<'a>>,
    pub files: Vec<BorrowedFd<'a>>,
}

impl Instance {
    /// Begins a run, which tells its errors as JSON if it is asked to. Must be called on the thread that lives longest: the run
    /// ends with it.
    pub fn begin(job: &Job, own_network: bool, json: bool, given: &Given<'_>) -> Result<Instance> {
        let (channel, theirs) = Channel::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("run-wasm").arg("inside").arg("--state").arg(&job.state);
        if own_network {
            command.arg("--own-network");
        }
        if json {
            command.arg("--json");
        }
        command.stdin(Stdio::from(theirs)).kill_on_drop(true);
        let child = command.spawn().context("cannot start the run")?;
        let file = job.file()?;
        let mut descriptors = vec![file.as_fd(), given.stdin];
        descriptors.extend(&given.listeners);
        descriptors.extend(&given.files);
        channel.send(&Order::Run, &descriptors)?;
        Ok(Instance { child, channel })
    }

    /// Waits until the guest runs. `false`: it never will, and why was said.
    pub async fn started(&mut self) -> Result<bool> {
        Ok(matches!(self.channel.receive::<News>().await?, Some((News::Started, _))))
    }

    /// Tells the inside. One that has ended needs no order.
    pub fn order(&self, order: Order) {
        drop(self.channel.send(&order, &[]));
    }

    /// Waits for the end; the exit code.
    pub async fn ended(&mut self) -> Result<u8> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.wait().await.context("cannot wait for the run")?;
        let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }
}

/// The shim: as asked for, or beside this program, or on PATH. Its path has no links, which may lead through a folder that the
/// run covers, and is absolute.
pub fn shim(asked: Option<&Path>) -> Result<std::path::PathBuf> {
    const NAME: &str = "containerd-shim-run-v2";
    if let Some(path) = asked {
        return path.canonicalize().with_context(|| format!("there is no shim {}", path.display()));
    }
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = beside.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(NAME));
    let found = found.into_iter().find(|file| file.is_file()).with_context(|| {
        format!("there is no {NAME} beside this program or on PATH: install it, or name it by --shim")
    })?;
    found.canonicalize().with_context(|| format!("cannot find the shim {}", found.display()))
}

/// Null, for those who read nothing.
pub fn nothing() -> Result<OwnedFd> {
    Ok(std::fs::File::open("/dev/null").context("cannot open /dev/null")?.into())
}
