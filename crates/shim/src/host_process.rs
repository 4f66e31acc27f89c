//! A host as the shim holds it: a child process, its control channel and its last words.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};
use host::engine::Build;
use host::jail::Jail;
use host::link::Parts;
use host::protocol::{Channel, Place, Reply, Request, Role, Stdio};
use host::spawn::{Birth, Child, spawn};
use rustix::process::{PidfdGetfdFlags, Signal, WaitId, WaitIdOptions, pidfd_getfd, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use crate::cgroup::Cgroup;
use crate::netns::Network;
use crate::reactor::register;
use crate::record::Process;

/// The most that is read of what a crashed host wrote to its stderr, in bytes.
const LAST_WORDS: usize = 4096;

/// What a child is started as: the first argument of its command line.
pub const HOST: &str = "host";
pub const COMPILER: &str = "compile";
pub const HOLDER: &str = "hold";

/// How a host refused what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The compiled code does not fit this engine: it has to be compiled anew.
    #[error("{0}")]
    Stale(String),
    #[error("{0}")]
    Because(String),
    #[error(transparent)]
    Broken(#[from] anyhow::Error),
}

/// A jail that is closed: the parts that the kernel lacks, and the number of the descriptor on which it asks for sockets.
#[derive(Debug)]
pub struct Closed {
    pub missing: Vec<String>,
    pub sockets: Option<i32>,
}

/// What a container is launched with.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    pub place: Place,
    /// A descriptor of a [`host::protocol::Payload`].
    pub payload: BorrowedFd<'a>,
    /// stdin, stdout and stderr.
    pub streams: [Option<BorrowedFd<'a>>; 3],
    /// The file of the node's root certificates.
    pub roots: Option<BorrowedFd<'a>>,
    /// The container, of the same host of many, in which it is one more process.
    pub beside: Option<&'a str>,
}

/// Reads the answer to what may be refused, which says whether the Wasm serves; gives back what is none.
pub fn accepted(reply: Option<Reply>) -> Result<Result<bool, Refused>, Option<Reply>> {
    match reply {
        Some(Reply::Ready { serves, .. }) => Ok(Ok(serves)),
        Some(Reply::Refused { message, stale: true, .. }) => Ok(Err(Refused::Stale(message))),
        Some(Reply::Refused { message, .. }) => Ok(Err(Refused::Because(message))),
        other => Err(other),
    }
}

/// One child: a host or a compiler.
#[derive(Debug)]
pub struct HostProcess {
    child: AsyncFd<Child>,
    control: AsyncFd<Channel>,
    stderr: OwnedFd,
    identity: OnceLock<Option<Process>>,
    /// Its pid may be another's.
    reaped: AtomicBool,
    /// One at a time changes what is mounted in it.
    mounting: Arc<tokio::sync::Mutex<()>>,
}

impl HostProcess {
    /// Starts a host in the container's cgroup. `name` is what `ps` shows.
    ///
    /// Must be called on the shim's main thread, with which the child ends.
    pub fn start(role: &str, name: &str, cgroup: Option<&Cgroup>, network: &Network) -> Result<HostProcess> {
        let (control, theirs) = Channel::pair().context("cannot make a control channel")?;
        let (stderr, their_stderr) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC | rustix::pipe::PipeFlags::NONBLOCK)
                .context("cannot make a pipe")?;
        let membership = cgroup.map(Cgroup::membership).transpose()?.unwrap_or_default();
        let child = spawn(&Birth {
            args: &[role, name],
            control: theirs.as_fd(),
            stderr: their_stderr.as_fd(),
            cgroup: membership.born_in.as_ref().map(OwnedFd::as_fd),
            join: &membership.join,
            new_network: matches!(network, Network::New),
            one_heap: role == HOST,
        })
        .context("cannot start a host process")?;
        Ok(HostProcess {
            child: register(child, Interest::READABLE)?,
            control: register(control, Interest::READABLE)?,
            stderr,
            identity: OnceLock::new(),
            reaped: AtomicBool::new(false),
            mounting: Arc::default(),
        })
    }

    /// The host's pid in this process' pid namespace.
    pub fn pid(&self) -> i32 {
        self.child.get_ref().pid.as_raw_nonzero().get()
    }

    /// Which process the host is, also when its pid is another's one day. `None` if it had ended when that was first asked.
    pub fn identity(&self) -> Option<&Process> {
        self.identity.get_or_init(|| Process::of(self.pid()).ok()).as_ref()
    }

    /// A descriptor of the host's mount namespace.
    pub fn mount_namespace(&self) -> io::Result<OwnedFd> {
        Ok(File::open(self.folder()?.join("ns/mnt"))?.into())
    }

    /// Waits until nobody else changes what is mounted in it. For a host of one; a shared one sees to that itself.
    pub async fn mounting(&self) -> OwnedMutexGuard<()> {
        self.mounting.clone().lock_owned().await
    }

    /// A descriptor of the host's network namespace.
    pub fn network_namespace(&self) -> io::Result<OwnedFd> {
        Ok(File::open(self.folder()?.join("ns/net"))?.into())
    }

    /// Its folder in `/proc`, until something else is waited for.
    ///
    /// # Errors
    /// It is gone: the folder may be another process'.
    pub fn folder(&self) -> io::Result<PathBuf> {
        match self.reaped.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::NotFound.into()),
            false => Ok(Path::new("/proc").join(self.pid().to_string())),
        }
    }

    /// Has the host close its jail, in `mounts` where that is another host's. `page` is what a host of many tags its threads
    /// on.
    pub async fn enter(
        &self,
        jail: Jail,
        network: &Network,
        mounts: Option<BorrowedFd<'_>>,
        role: Role,
        page: Option<BorrowedFd<'_>>,
    ) -> Result<Closed> {
        let netns = match network {
            Network::Pod(netns) => Some(netns.as_fd()),
            Network::Node | Network::New => None,
        };
        let fds: Vec<_> = netns.into_iter().chain(mounts).chain(page).collect();
        let enter = Request::Enter { jail, netns: netns.is_some(), mounts: mounts.is_some(), role };
        if let Err(error) = self.send(&enter, &fds) {
            // How it went says more.
            return Err(self.unexpected(None).await.context(format!("{error:#}")));
        }
        match self.reply().await? {
            Some(Reply::Jailed { missing, sockets }) => Ok(Closed { missing, sockets }),
            Some(Reply::Failed { message }) => bail!(message),
            other => Err(self.unexpected(other).await),
        }
    }

    /// Fetches a descriptor of the host's, by its number there.
    pub fn fetch(&self, number: i32) -> io::Result<OwnedFd> {
        Ok(pidfd_getfd(&self.child.get_ref().pidfd, number, PidfdGetfdFlags::empty())?)
    }

    /// Asks for a container to be loaded; what it says to that is its next reply.
    pub fn launch(&self, id: &str, launch: &Launch<'_>) -> Result<()> {
        let [stdin, stdout, stderr] = launch.streams.map(|stream| stream.is_some());
        let stdio = Stdio { stdin, stdout, stderr };
        let streams = launch.streams.into_iter().flatten();
        let fds: Vec<_> = std::iter::once(launch.payload).chain(streams).chain(launch.roots).collect();
        let (id, place, beside) = (id.to_owned(), launch.place.clone(), launch.beside.map(str::to_owned));
        self.send(&Request::Launch { id, place, stdio, roots: launch.roots.is_some(), beside }, &fds)
    }

    /// Compiles what `input` holds, alone or in parts, into `output`.
    pub async fn compile(
        &self,
        build: Build,
        parts: Option<Parts>,
        input: BorrowedFd<'_>,
        output: BorrowedFd<'_>,
    ) -> Result<(), Refused> {
        if let Err(error) = self.send(&Request::Compile { build, parts }, &[input, output]) {
            // How it went says more.
            return Err(Refused::Broken(self.unexpected(None).await.context(format!("{error:#}"))));
        }
        match accepted(self.reply().await?) {
            Ok(answer) => answer.map(drop),
            Err(other) => Err(Refused::Broken(self.unexpected(other).await)),
        }
    }

    /// Ends the process. It is gone when [`HostProcess::reaped`] returns.
    pub fn kill(&self) {
        if let Err(error) = self.child.get_ref().signal(Signal::KILL) {
            tracing::error!(%error, pid = self.pid(), "cannot kill a host");
        }
    }

    /// Waits until the process is gone and reaps it. Returns the signal that ended it, if one did.
    pub async fn reaped(&self) -> Option<i32> {
        loop {
            let Ok(mut ready) = self.child.readable().await else { return None };
            match waitid(
                WaitId::PidFd(self.child.get_ref().as_fd()),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
            ) {
                Ok(Some(status)) => {
                    self.reaped.store(true, Ordering::SeqCst);
                    return status.terminating_signal();
                }
                Ok(None) => ready.clear_ready(),
                // Reaped before.
                Err(_) => return None,
            }
        }
    }

    /// Kills and reaps: the end of a process that is not wanted any more.
    pub async fn end(&self) {
        self.kill();
        self.reaped().await;
    }

    /// What the process wrote to its stderr: a panic's message, when it crashed.
    pub fn last_words(&self) -> String {
        let mut words = vec![0; LAST_WORDS];
        let length = rustix::io::read(&self.stderr, &mut words).unwrap_or(0);
        words.truncate(length);
        String::from_utf8_lossy(&words).trim().to_owned()
    }

    pub fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<()> {
        self.control.get_ref().send(request, fds).context("the host does not listen")
    }

    /// The next reply; `None` when the host is gone. To be asked by one task at a time.
    pub async fn reply(&self) -> Result<Option<Reply>> {
        loop {
            let mut ready = self.control.readable().await.context("the control channel is closed")?;
            match ready.try_io(|control| control.get_ref().receive_plain()) {
                Ok(reply) => return reply.context("the host answers nonsense"),
                Err(_would_block) => {}
            }
        }
    }

    /// What to say of a reply that was not due, or of none.
    pub async fn unexpected(&self, reply: Option<Reply>) -> anyhow::Error {
        match reply {
            Some(reply) => anyhow::anyhow!("the host answers out of turn: {reply:?}"),
            None => {
                self.kill();
                let signal =
                    self.reaped().await.map(|signal| format!(" (signal {signal})")).unwrap_or_default();
                anyhow::anyhow!("the host process ended{signal}: {}", self.last_words())
            }
        }
    }
}

/// The last resort: whoever drops a host without ending it, as an error or a call that is given up does, leaves no process behind.
impl Drop for HostProcess {
    fn drop(&mut self) {
        if self.reaped.load(Ordering::SeqCst) {
            return;
        }
        self.kill();
        let pidfd = self.child.get_ref().as_fd().try_clone_to_owned();
        if let (Ok(pidfd), Ok(tokio)) = (pidfd, Handle::try_current()) {
            drop(tokio.spawn(reap(pidfd)));
        }
    }
}

/// Waits for the end of a child that was killed.
async fn reap(pidfd: OwnedFd) -> io::Result<()> {
    let child = register(pidfd, Interest::READABLE)?;
    let _ended = child.readable().await?;
    waitid(WaitId::PidFd(child.get_ref().as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)?;
    Ok(())
}
