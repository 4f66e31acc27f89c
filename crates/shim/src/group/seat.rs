//! A container's seat in a host that it shares.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use grants::Cpu;
use host::protocol::{Place, Reply, Request, Usage};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use super::ceiling::Claim;
use super::host::SharedHost;
use crate::host_process::Launch;
use crate::mount::{Attachment, Tree, detach};
use crate::record::Process;
use crate::task::Death;

/// How long a host may take to tell what a container has used.
const PATIENCE: Duration = Duration::from_secs(2);

/// A seat. Dropped, it is free for another.
#[derive(Debug)]
pub struct Seat {
    host: Arc<SharedHost>,
    /// Who sits there to the host.
    id: String,
    /// The container's.
    tag: u32,
    claim: Mutex<Claim>,
    /// The seat of the container of which another process sits here.
    beside: Option<String>,
    replies: AsyncMutex<mpsc::Receiver<Box<Reply>>>,
    /// It has mounts of its own in the host.
    files: AtomicBool,
    /// It was launched, and has not ended.
    lives: AtomicBool,
}

impl Seat {
    pub(super) fn new(
        host: Arc<SharedHost>,
        id: String,
        tag: u32,
        claim: Claim,
        replies: mpsc::Receiver<Box<Reply>>,
    ) -> Seat {
        Seat {
            host,
            id,
            tag,
            claim: Mutex::new(claim),
            beside: None,
            replies: AsyncMutex::new(replies),
            files: AtomicBool::new(false),
            lives: AtomicBool::new(false),
        }
    }

    /// A seat beside this one, for one more process of its container. `None` when the host is full, or at its end.
    pub fn beside(&self) -> Option<Seat> {
        static SO_FAR: AtomicU64 = AtomicU64::new(0);
        let id = format!("{}.{}", self.id, SO_FAR.fetch_add(1, Ordering::Relaxed));
        // The container's claim is for all of its processes.
        let mut seat = self.host.sit(id, self.tag, Claim { memory: Some(0), shares: 0 })?;
        seat.beside = Some(self.id.clone());
        Some(seat)
    }

    pub fn pid(&self) -> i32 {
        self.host.process().pid()
    }

    pub fn identity(&self) -> Option<&Process> {
        self.host.process().identity()
    }

    /// The host's folder in `/proc`: see [`crate::host_process::HostProcess::folder`].
    pub fn folder(&self) -> io::Result<PathBuf> {
        self.host.process().folder()
    }

    pub fn mount_namespace(&self) -> io::Result<OwnedFd> {
        self.host.process().mount_namespace()
    }

    /// Where the container's sockets are made; without this, nowhere.
    pub fn network(&self, netns: OwnedFd) {
        self.host.networks().insert(self.tag, netns);
    }

    /// Attaches code, once for all that have the same. Returns under which name it is found.
    pub async fn attach_code(&self, code: &crate::wasm::Code) -> Result<String> {
        self.host.attach_code(code).await
    }

    /// Attaches what the container needs: its code once for all that have the same, its files where it has any.
    pub async fn attach(
        &self,
        code: &crate::wasm::Code,
        root: Option<Tree>,
        read_only: bool,
        volumes: Vec<Attachment>,
    ) -> Result<Place> {
        let name = self.host.attach_code(code).await?;
        let root = match root.is_some() || !volumes.is_empty() {
            true => {
                // Below one mount, all of it goes with that.
                let (root, read_only) = match root {
                    Some(root) => (root, read_only),
                    None => (Tree::empty().context("cannot make an empty root")?, true),
                };
                // From here on there may be something to take away.
                self.files.store(true, Ordering::Relaxed);
                self.host.attach(self.id.clone(), None, Some(root), read_only, volumes).await?;
                self.id.clone()
            }
            // Its root is empty, as is that beside the code.
            false => name.clone(),
        };
        Ok(Place { code: name, root, tag: self.tag })
    }

    /// Under which id its files were attached.
    pub fn files(&self) -> &str {
        &self.id
    }

    pub fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        self.host.process().launch(&self.id, &Launch { beside: self.beside.as_deref(), ..launch.clone() })?;
        // One of which the host has not heard has no end that could be waited for.
        self.lives.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Holds the container with all of its processes, or lets it go on.
    pub fn pause(&self, paused: bool) -> Result<()> {
        self.host.process().send(&Request::Pause { id: self.id.clone(), paused }, &[])
    }

    /// Gives the container other limits.
    pub fn resize(&self, memory: Option<u64>, cpu: Cpu) -> Result<()> {
        let claim = Claim { memory, shares: cpu.shares };
        let before =
            std::mem::replace(&mut *self.claim.lock().unwrap_or_else(PoisonError::into_inner), claim);
        self.host.claim_instead(before, claim);
        self.host.process().send(&Request::Resize { id: self.id.clone(), memory, cpu }, &[])
    }

    pub fn run(&self, listener: Option<BorrowedFd<'_>>) -> Result<()> {
        let start = Request::Start { id: self.id.clone(), listener: listener.is_some() };
        self.host.process().send(&start, listener.as_slice())
    }

    /// Asks a guest that serves to come to its end.
    pub fn drain(&self) -> Result<()> {
        self.host.process().send(&Request::Drain { id: self.id.clone() }, &[])
    }

    /// Asks what a guest that serves has done; the answer is a reply as any other.
    pub fn count(&self) -> Result<()> {
        self.host.process().send(&Request::Count { id: self.id.clone() }, &[])
    }

    /// Ends the guest. Its exit is a reply as any other.
    pub fn kill(&self) {
        self.host.kill(&self.id);
    }

    /// What its host says of it next; `None` when the host is gone.
    pub async fn reply(&self) -> Option<Reply> {
        let reply = self.replies.lock().await.recv().await.map(|reply| *reply);
        if matches!(reply, None | Some(Reply::Exited(_) | Reply::Refused { .. })) {
            self.lives.store(false, Ordering::Relaxed);
        }
        reply
    }

    /// What the container has used, by its host's accounting.
    pub async fn usage(&self) -> Usage {
        let usage = tokio::time::timeout(PATIENCE, self.host.measure(&self.id)).await;
        usage.ok().flatten().unwrap_or_default()
    }

    /// Ends the host, with all of its containers: it cannot be trusted.
    pub fn doom(&self, why: String) {
        self.host.doom(why);
    }

    pub async fn death(&self) -> Death {
        self.host.death().await
    }

    /// Leaves the host: the guest is over, and nothing of it stays.
    pub async fn leave(&self) {
        if self.lives.load(Ordering::Relaxed) {
            self.kill();
            while self.lives.load(Ordering::Relaxed) {
                // Its exit, or the host's end, is among them.
                drop(self.reply().await);
            }
        }
        if self.files.swap(false, Ordering::Relaxed) {
            let _alone = self.host.mounting().await;
            // Gone with a host that is gone.
            if let Ok(namespace) = self.mount_namespace()
                && let Err(error) = detach(namespace, self.id.clone()).await
            {
                tracing::warn!(error = format!("{error:#}"), "a container's mounts stay in its host");
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.beside.is_none() {
            self.host.networks().remove(self.tag);
        }
        self.host.leave(&self.id, *self.claim.get_mut().unwrap_or_else(PoisonError::into_inner));
    }
}
