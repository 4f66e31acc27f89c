//! Where a container runs: in a host of its own, or on a seat in one that it shares. Nothing else asks which.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use anyhow::{Result, bail};
use host::protocol::{Exit, Reply, Request};

use super::heard::Heard;
use crate::group::Seat;
use crate::host_process::{HostProcess, Launch, Refused, accepted};
use crate::observe::traces;
use crate::record::Process;

/// A container's place in a process.
#[derive(Debug)]
pub enum Home {
    Own(HostProcess),
    Shared(Seat),
}

/// How a host ended that did not say so.
#[derive(Debug, Clone, Default)]
pub struct Death {
    pub signal: Option<i32>,
    /// What it wrote last, or why it was ended.
    pub words: String,
}

impl Home {
    /// The host's pid.
    pub fn pid(&self) -> i32 {
        match self {
            Home::Own(host) => host.pid(),
            Home::Shared(seat) => seat.pid(),
        }
    }

    /// The host's folder in `/proc`, until something else is waited for.
    ///
    /// # Errors
    /// The host is gone.
    pub fn folder(&self) -> io::Result<PathBuf> {
        match self {
            Home::Own(host) => host.folder(),
            Home::Shared(seat) => seat.folder(),
        }
    }

    /// Which process the host is.
    pub fn identity(&self) -> Option<&Process> {
        match self {
            Home::Own(host) => host.identity(),
            Home::Shared(seat) => seat.identity(),
        }
    }

    /// Loads the container. Returns whether it serves, and so needs a listener to be run.
    pub async fn launch(&self, id: &str, launch: &Launch<'_>) -> Result<bool, Refused> {
        match self {
            Home::Own(host) => host.launch(id, launch)?,
            Home::Shared(seat) => seat.launch(launch)?,
        }
        match accepted(self.reply().await?) {
            Ok(answer) => answer,
            Err(other) => Err(Refused::Broken(self.unexpected(other).await)),
        }
    }

    async fn unexpected(&self, reply: Option<Reply>) -> anyhow::Error {
        match (self, reply) {
            (Home::Own(host), reply) => host.unexpected(reply).await,
            (Home::Shared(_), Some(reply)) => anyhow::anyhow!("the host answers out of turn: {reply:?}"),
            (Home::Shared(seat), None) => {
                anyhow::anyhow!("the engine host of this trust group ended: {}", seat.death().await.words)
            }
        }
    }

    /// Lets the launched container run, with its listener if it serves.
    pub fn run(&self, id: &str, listener: Option<BorrowedFd<'_>>) -> Result<()> {
        match self {
            Home::Own(host) => {
                let start = Request::Start { id: id.to_owned(), listener: listener.is_some() };
                host.send(&start, listener.as_slice())
            }
            Home::Shared(seat) => seat.run(listener),
        }
    }

    /// Asks a guest that serves to come to its end.
    pub fn drain(&self, id: &str) -> Result<()> {
        match self {
            Home::Own(host) => host.send(&Request::Drain { id: id.to_owned() }, &[]),
            Home::Shared(seat) => seat.drain(),
        }
    }

    /// Asks what a guest that serves has done; [`Home::exit`] hears the answer.
    pub fn count(&self, id: &str) -> Result<()> {
        match self {
            Home::Own(host) => host.send(&Request::Count { id: id.to_owned() }, &[]),
            Home::Shared(seat) => seat.count(),
        }
    }

    /// Ends the guest, and nobody else.
    pub fn kill(&self) {
        match self {
            Home::Own(host) => host.kill(),
            Home::Shared(seat) => seat.kill(),
        }
    }

    /// Ends what is left when the guest has ended.
    pub async fn end(&self) {
        match self {
            Home::Own(host) => host.end().await,
            Home::Shared(seat) => seat.leave().await,
        }
    }

    /// How the host ended that said nothing.
    pub async fn death(&self) -> Death {
        match self {
            Home::Own(host) => {
                host.kill();
                let signal = host.reaped().await;
                Death { signal, words: host.last_words() }
            }
            Home::Shared(seat) => seat.death().await,
        }
    }

    async fn reply(&self) -> Result<Option<Reply>> {
        match self {
            Home::Own(host) => host.reply().await,
            Home::Shared(seat) => Ok(seat.reply().await),
        }
    }

    /// Waits for the end of the container; `None` when the host went without a word.
    ///
    /// `heard` is kept up to date meanwhile.
    pub async fn exit(&self, heard: &Heard) -> Option<Exit> {
        let end = match self.hear_out(heard).await {
            Ok(end) => end,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "a host broke the protocol");
                // Who asks for its death has ended a host of its own; one that is shared would go on, and nobody hear it.
                if let Home::Shared(seat) = self {
                    seat.doom(format!("it broke the protocol: {error:#}"));
                }
                None
            }
        };
        if let Some(calls) = heard.denied().sum(end.as_ref().map(|exit| &exit.denied)) {
            tracing::warn!("denied calls: {calls}");
        }
        end
    }

    async fn hear_out(&self, heard: &Heard) -> Result<Option<Exit>> {
        loop {
            match self.reply().await? {
                Some(Reply::Denied { denial, .. }) => {
                    if let Some(sentence) = heard.denied().take(&denial)? {
                        tracing::warn!("{sentence}");
                    }
                }
                Some(Reply::Served { served, .. }) => heard.counted(&served),
                Some(Reply::Traced { spans, .. }) => traces::requests(spans),
                Some(Reply::Exited(exit)) => return Ok(Some(exit)),
                Some(_) => bail!("it answers out of turn"),
                None => return Ok(None),
            }
        }
    }
}
