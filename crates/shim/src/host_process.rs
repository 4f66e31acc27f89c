//! A host as the shim holds it: a child process, its control channel and its last words.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use grants::Profile;
use host::jail::Jail;
use host::protocol::{Channel, Exit, Reply, Request, Stdio};
use host::spawn::{Birth, Child, spawn};
use rustix::process::{Signal, WaitId, WaitIdOptions, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::cgroup::Cgroup;
use crate::denied::Denied;
use crate::netns::Network;
use crate::reactor::register;

/// The most that is read of what a crashed host wrote to its stderr, in bytes.
const LAST_WORDS: usize = 4096;

/// What a child is started as: the first argument of its command line.
pub const HOST: &str = "host";
pub const COMPILER: &str = "compile";

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

/// One child: a host or a compiler.
#[derive(Debug)]
pub struct HostProcess {
    child: AsyncFd<Child>,
    control: AsyncFd<Channel>,
    stderr: OwnedFd,
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
        })
    }

    /// The host's pid in this process' pid namespace.
    pub fn pid(&self) -> i32 {
        self.child.get_ref().pid.as_raw_nonzero().get()
    }

    /// A descriptor of the host's mount namespace.
    pub fn mount_namespace(&self) -> io::Result<OwnedFd> {
        Ok(std::fs::File::open(format!("/proc/{}/ns/mnt", self.pid()))?.into())
    }

    /// Has the host close its jail; returns the parts of it that the kernel lacks.
    pub async fn enter(&self, jail: Jail, network: &Network) -> Result<Vec<String>> {
        let netns = match network {
            Network::Pod(netns) => vec![netns.as_fd()],
            Network::Node | Network::New => Vec::new(),
        };
        self.send(&Request::Enter { jail, netns: !netns.is_empty() }, &netns)?;
        match self.reply().await? {
            Some(Reply::Jailed { missing }) => Ok(missing),
            Some(Reply::Failed { message }) => bail!(message),
            other => Err(self.unexpected(other).await),
        }
    }

    /// Loads a container. `payload` is a descriptor of a [`host::protocol::Payload`], `streams` are stdin, stdout and
    /// stderr, `roots` is the file of the node's root certificates.
    pub async fn launch(
        &self,
        id: &str,
        payload: BorrowedFd<'_>,
        streams: [Option<BorrowedFd<'_>>; 3],
        roots: Option<BorrowedFd<'_>>,
    ) -> Result<(), Refused> {
        let [stdin, stdout, stderr] = streams.map(|stream| stream.is_some());
        let stdio = Stdio { stdin, stdout, stderr };
        let fds: Vec<_> =
            std::iter::once(payload).chain(streams.into_iter().flatten()).chain(roots).collect();
        self.send(&Request::Launch { id: id.to_owned(), stdio, roots: roots.is_some() }, &fds)?;
        self.accepted().await
    }

    /// Compiles what `input` holds, for this profile, into `output`.
    pub async fn compile(
        &self,
        profile: Profile,
        input: BorrowedFd<'_>,
        output: BorrowedFd<'_>,
    ) -> Result<(), Refused> {
        self.send(&Request::Compile { profile }, &[input, output])?;
        self.accepted().await
    }

    async fn accepted(&self) -> Result<(), Refused> {
        match self.reply().await? {
            Some(Reply::Ready { .. }) => Ok(()),
            Some(Reply::Refused { message, stale: true, .. }) => Err(Refused::Stale(message)),
            Some(Reply::Refused { message, .. }) => Err(Refused::Because(message)),
            other => Err(Refused::Broken(self.unexpected(other).await)),
        }
    }

    /// Lets the launched container run.
    pub fn run(&self, id: &str) -> Result<()> {
        self.send(&Request::Start { id: id.to_owned() }, &[])
    }

    /// Waits for the end of the container `id`; `None` when the host went without a word.
    pub async fn exit(&self, id: &str) -> Option<Exit> {
        let mut denied = Denied::default();
        let end = self.hear_out(id, &mut denied).await.unwrap_or_else(|error| {
            tracing::warn!(container = id, error = format!("{error:#}"), "a host broke the protocol");
            None
        });
        if let Some(calls) = denied.sum(end.as_ref().map(|exit| &exit.denied)) {
            tracing::warn!(container = id, "denied calls: {calls}");
        }
        end
    }

    async fn hear_out(&self, id: &str, denied: &mut Denied) -> Result<Option<Exit>> {
        loop {
            match self.reply().await? {
                Some(Reply::Denied { denial, .. }) => {
                    if let Some(sentence) = denied.take(&denial)? {
                        tracing::warn!(container = id, "{sentence}");
                    }
                }
                Some(Reply::Exited(exit)) => return Ok(Some(exit)),
                Some(_) => bail!("it answers out of turn"),
                None => return Ok(None),
            }
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
                Ok(Some(status)) => return status.terminating_signal(),
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

    fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> Result<()> {
        self.control.get_ref().send(request, fds).context("the host does not listen")
    }

    async fn reply(&self) -> Result<Option<Reply>> {
        loop {
            let mut ready = self.control.readable().await.context("the control channel is closed")?;
            match ready.try_io(|control| control.get_ref().receive_plain()) {
                Ok(reply) => return reply.context("the host answers nonsense"),
                Err(_would_block) => {}
            }
        }
    }

    async fn unexpected(&self, reply: Option<Reply>) -> anyhow::Error {
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

/// The last resort: whoever drops a host without ending it leaves no running process behind.
impl Drop for HostProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
