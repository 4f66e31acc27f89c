//! The host of a trust group, as the manager has it: one process, its many containers' replies, its health.

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use host::protocol::{Reply, Request, Role, Usage};
use host::tenants::tags::{self, Tags};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::ceiling::{self, Claim, Sum};
use super::sockets::{self, Networks};
use super::{Guest, Seat};
use crate::cgroup::Cgroup;
use crate::host_process::{HOST, HostProcess};
use crate::manager::Notes;
use crate::mount::{Attachment, Tree, attach, attach_code};
use crate::netns::Network;
use crate::task::Death;
use crate::wasm::Code;

/// How often a host is asked whether it is well, and how long it may take to answer.
const PING: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(10);

/// Replies to one container that nobody has read yet. A host that says more than the protocol allows is ended.
const UNREAD: usize = 64;

pub struct SharedHost {
    process: HostProcess,
    seats: u32,
    networks: Networks,
    notes: Notes,
    cgroup: Mutex<Option<Cgroup>>,
    state: Mutex<State>,
    /// One at a time changes what is mounted in the host.
    mounting: Arc<tokio::sync::Mutex<HashSet<String>>>,
    idle_exit: Duration,
    changed: Notify,
    death: watch::Sender<Option<Death>>,
    /// Why it is ended, if somebody ends it.
    ended: Mutex<Option<String>>,
    pings: AtomicU64,
    closing: AtomicBool,
}

#[derive(Default)]
struct State {
    sum: Sum,
    containers: HashMap<String, mpsc::Sender<Box<Reply>>>,
    measured: HashMap<String, Vec<oneshot::Sender<Usage>>>,
    idle_since: Option<Instant>,
    /// Containers of which it has not heard yet that they are to end.
    unheard: HashSet<String>,
}

impl std::fmt::Debug for SharedHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedHost").field("pid", &self.process.pid()).finish_non_exhaustive()
    }
}

impl SharedHost {
    /// Starts a host for `guest` and others of its group, of at most so many at a time.
    ///
    /// Must be called on the manager's main thread, with which the host ends.
    pub async fn start(guest: &Guest<'_>, seats: u32, notes: &Notes) -> Result<Arc<SharedHost>> {
        let group = &guest.group;
        let name = format!("{}/{}", group.namespace, group.within.as_deref().unwrap_or("-"));
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let identity = format!("{name} {:?} {} {number}", group.user, std::process::id());
        let cgroup = guest.cgroups_path.map(|path| ceiling::cgroup(path, &identity)).transpose()?;
        if let Some(cgroup) = &cgroup
            && let Err(error) = notes.write(cgroup.dirs())
        {
            tracing::warn!(
                error = format!("{error:#}"),
                "a cgroup would stay behind if this manager were killed"
            );
        }
        let started = SharedHost::enter(guest, seats, &name, cgroup.as_ref()).await;
        let (process, networks) = match started {
            Ok(started) => started,
            Err(error) => {
                if let Some(cgroup) = cgroup {
                    remove(cgroup, notes).await;
                }
                return Err(error);
            }
        };
        tracing::info!(
            group = name,
            uid = group.user.uid,
            pid = process.pid(),
            seats,
            "started a shared host"
        );
        Ok(Arc::new(SharedHost {
            process,
            seats,
            networks,
            notes: notes.clone(),
            cgroup: Mutex::new(cgroup),
            state: Mutex::default(),
            mounting: Arc::default(),
            idle_exit: guest.idle_exit,
            changed: Notify::new(),
            death: watch::Sender::new(None),
            ended: Mutex::default(),
            pings: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        }))
    }

    async fn enter(
        guest: &Guest<'_>,
        seats: u32,
        name: &str,
        cgroup: Option<&Cgroup>,
    ) -> Result<(HostProcess, Networks)> {
        let process = HostProcess::start(HOST, name, cgroup, &Network::New)?;
        if let Some(cgroup) = cgroup {
            cgroup.register(process.pid()).await?;
        }
        let page = tags::page().context("cannot make a page of tags")?;
        let role = Role::Group { seats };
        let closed = process.enter(guest.jail.clone(), &Network::New, None, role, Some(page.as_fd())).await?;
        if !closed.missing.is_empty() {
            tracing::warn!(missing = closed.missing.join(", "), "this kernel lacks parts of the jail");
        }
        let networks = Networks::default();
        let listener = closed.sockets.context("the host is not asked for sockets")?;
        let listener = process.fetch(listener).context("cannot fetch the host's questions for sockets")?;
        let (uid, gid) = (guest.jail.uid, guest.jail.gid);
        sockets::serve(listener, Tags::map(&page, false)?, networks.clone(), uid, gid)?;
        Ok((process, networks))
    }

    pub fn process(&self) -> &HostProcess {
        &self.process
    }

    /// How many containers it has room for.
    pub fn seats(&self) -> u32 {
        self.seats
    }

    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// A seat, if one is free and the host is well. `id` and `tag` are who sits there to the host and to the kernel's
    /// questions.
    pub fn sit(self: &Arc<Self>, id: String, tag: u32, claim: Claim) -> Option<Seat> {
        let mut state = self.state();
        if self.closing.load(Ordering::SeqCst) || state.sum.containers() >= u64::from(self.seats) {
            return None;
        }
        let (sender, replies) = mpsc::channel(UNREAD);
        state.containers.insert(id.clone(), sender);
        state.sum.add(claim);
        state.idle_since = None;
        self.bound(&state.sum);
        drop(state);
        Some(Seat::new(self.clone(), id, tag, claim, replies))
    }

    pub(super) fn leave(&self, id: &str, claim: Claim) {
        let mut state = self.state();
        state.containers.remove(id);
        state.measured.remove(id);
        state.unheard.remove(id);
        state.sum.subtract(claim);
        if state.sum.containers() == 0 {
            state.idle_since = Some(Instant::now());
            self.changed.notify_one();
        }
        self.bound(&state.sum);
    }

    /// A container claims other resources than before.
    pub(super) fn claim_instead(&self, before: Claim, after: Claim) {
        let mut state = self.state();
        state.sum.add(after);
        state.sum.subtract(before);
        self.bound(&state.sum);
    }

    /// Has the cgroup follow its containers. When the last has gone it stays as it is: the next is often like it.
    fn bound(&self, sum: &Sum) {
        if sum.containers() == 0 {
            return;
        }
        let mut cgroup = self.cgroup.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cgroup) = cgroup.as_mut()
            && let Err(error) = cgroup.change(&sum.limits())
        {
            tracing::warn!(%error, pid = self.process.pid(), "cannot change the limits of a shared host");
        }
    }

    /// Attaches code, once. Returns under which name it is found.
    pub async fn attach_code(&self, code: &Code) -> Result<String> {
        let name = code.name.clone();
        let attached = self.mounting.clone().lock_owned().await;
        if !attached.contains(&name) {
            let (tree, known) = (Tree::code(code.file.as_fd())?, name.clone());
            let tell = |attached: &mut HashSet<String>| {
                attached.insert(known);
            };
            attach_code(self.process.mount_namespace()?, name.clone(), tree, attached, tell).await?;
        }
        Ok(name)
    }

    pub async fn attach(
        &self,
        id: String,
        code: Option<Tree>,
        root: Option<Tree>,
        read_only: bool,
        volumes: Vec<Attachment>,
    ) -> Result<()> {
        let _alone = self.mounting().await;
        attach(self.process.mount_namespace()?, id, code, root, read_only, volumes).await
    }

    pub async fn mounting(&self) -> impl Drop + '_ {
        self.mounting.lock().await
    }

    /// What a container has used.
    pub async fn measure(&self, id: &str) -> Option<Usage> {
        let (sender, usage) = oneshot::channel();
        self.state().measured.entry(id.to_owned()).or_default().push(sender);
        self.process.send(&Request::Measure { id: id.to_owned() }, &[]).ok()?;
        usage.await.ok()
    }

    /// Ends the host and all of its containers.
    pub async fn end(&self, why: &str) {
        self.doom(why.to_owned());
        self.death().await;
    }

    /// Has it end a container. What it does not hear now it hears with the next ping: its channel is full for a moment when many
    /// end at once.
    pub(super) fn kill(&self, id: &str) {
        if let Err(error) = self.process.send(&Request::Kill { id: id.to_owned() }, &[]) {
            tracing::debug!(error = format!("{error:#}"), "a shared host is told later to end a container");
            self.state().unheard.insert(id.to_owned());
        }
    }

    pub(super) fn doom(&self, why: String) {
        self.closing.store(true, Ordering::SeqCst);
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.process.kill();
    }

    /// Waits for its end.
    pub async fn death(&self) -> Death {
        let mut death = self.death.subscribe();
        // The sender lives as long as `self`.
        let found = death.wait_for(Option::is_some).await;
        found.ok().and_then(|death| death.clone()).unwrap_or_default()
    }

    /// Reads what the host says until it is gone, and ends it when it is not well or has nothing to do.
    pub async fn supervise(&self) {
        let why = tokio::select! {
            why = self.hear() => why,
            why = self.watch() => Some(why),
            () = self.idle() => Some("it has nothing to do".to_owned()),
        };
        self.closing.store(true, Ordering::SeqCst);
        if let Some(why) = why {
            self.doom(why);
        }
        self.process.kill();
        let signal = self.process.reaped().await;
        let why = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        let words = why.unwrap_or_else(|| self.process.last_words());
        let left = {
            let mut state = self.state();
            state.measured.clear();
            std::mem::take(&mut state.containers).len()
        };
        if left > 0 {
            tracing::error!(
                pid = self.process.pid(),
                signal,
                words,
                containers = left,
                "a shared host ended"
            );
        } else {
            tracing::info!(pid = self.process.pid(), words, "a shared host ended");
        }
        let cgroup = self.cgroup.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(cgroup) = cgroup {
            remove(cgroup, &self.notes).await;
        }
        self.death.send_replace(Some(Death { signal, words }));
    }

    /// Returns why the host has to end, or `None` when it is gone.
    async fn hear(&self) -> Option<String> {
        loop {
            match self.process.reply().await {
                Ok(Some(reply)) => {
                    if let Err(error) = self.route(reply) {
                        return Some(format!("it broke the protocol: {error}"));
                    }
                }
                Ok(None) => return None,
                Err(error) => return Some(format!("it broke the protocol: {error:#}")),
            }
        }
    }

    fn route(&self, reply: Reply) -> Result<()> {
        let mut state = self.state();
        let id = match &reply {
            Reply::Ready { id, .. }
            | Reply::Refused { id, .. }
            | Reply::Denied { id, .. }
            | Reply::Served { id, .. }
            | Reply::Traced { id, .. } => id.clone(),
            Reply::Exited(exit) => exit.id.clone(),
            Reply::Used { id, usage } => {
                for waiting in state.measured.remove(id).into_iter().flatten() {
                    // Whoever asked may not wait any more.
                    let _gone = waiting.send(*usage);
                }
                return Ok(());
            }
            Reply::Well { stuck: None } => {
                self.pings.store(0, Ordering::SeqCst);
                return Ok(());
            }
            Reply::Well { stuck: Some(container) } => {
                bail!("a thread of it does not come back from the container {container}")
            }
            Reply::Jailed { .. } | Reply::Failed { .. } => bail!("it answers out of turn"),
        };
        // One that has left is not told of any more.
        let Some(container) = state.containers.get(&id) else { return Ok(()) };
        if let Reply::Traced { .. } = reply {
            // As many as its clients ask for: those for which there is no room are dropped.
            drop(container.try_send(Box::new(reply)));
            return Ok(());
        }
        container.try_send(Box::new(reply)).context("it says more than anybody asked")
    }

    async fn watch(&self) -> String {
        loop {
            tokio::time::sleep(PING).await;
            let silent = self.pings.fetch_add(1, Ordering::SeqCst);
            if PING * u32::try_from(silent).unwrap_or(u32::MAX) >= SILENCE {
                return format!("it did not answer for {} s", SILENCE.as_secs());
            }
            // A channel that is still full has a host at its end that does not read.
            drop(self.process.send(&Request::Ping, &[]));
            let unheard = std::mem::take(&mut self.state().unheard);
            unheard.iter().for_each(|id| self.kill(id));
        }
    }

    /// Returns when it has had no container for long enough.
    async fn idle(&self) {
        loop {
            let since = self.state().idle_since;
            match since {
                None => self.changed.notified().await,
                Some(since) => {
                    tokio::time::sleep_until(since + self.idle_exit).await;
                    let state = self.state();
                    if state.idle_since.is_some_and(|since| since.elapsed() >= self.idle_exit) {
                        // Under the lock under which seats are given: nobody sits down now.
                        self.closing.store(true, Ordering::SeqCst);
                        return;
                    }
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn remove(cgroup: Cgroup, notes: &Notes) {
    let dirs = cgroup.dirs().to_owned();
    cgroup.remove().await;
    notes.strike(&dirs);
}
