//! One program at work, as the shim holds it: the first of a container, or one that was executed in it.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anyhow::Result;
use host::protocol::{Counts, Exit, Served};

use super::container::{Container, lock};
use super::heard::Heard;
use super::{Death, Home};
use crate::listener;
use crate::record::Process;
use crate::stdio::Stdio;
use crate::unread::Unread;

/// Exit codes of the design's table of ends.
const KILLED: u8 = 137;
const CRASHED: u8 = 139;

/// Signals that ask a server to come to its end.
const ASKS: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// How long a host may take to tell what a server has done.
const PATIENCE: Duration = Duration::from_secs(2);

/// A loaded program.
#[derive(Debug)]
pub struct Guest {
    pub(super) home: Home,
    stdio: Mutex<Option<Stdio>>,
    unread: Unread,
    heard: Heard,
    /// The signal that containerd sent to end it; 0 for none.
    ended_by: AtomicI32,
    server: Option<Server>,
}

/// What is known of a guest that serves.
#[derive(Debug)]
pub struct Server {
    port: u16,
    /// That of its pod, until it listens there.
    netns: Mutex<Option<OwnedFd>>,
    listener: Mutex<Option<OwnedFd>>,
    /// It runs, under this id to its host.
    runs: OnceLock<String>,
    drained: AtomicBool,
}

impl Server {
    pub fn new(port: u16, netns: OwnedFd) -> Server {
        let (netns, listener) = (Mutex::new(Some(netns)), Mutex::default());
        Server { port, netns, listener, runs: OnceLock::new(), drained: AtomicBool::new(false) }
    }
}

impl Guest {
    pub fn new(home: Home, stdio: Stdio) -> Guest {
        Guest {
            home,
            stdio: Mutex::new(Some(stdio)),
            unread: Unread::default(),
            heard: Heard::default(),
            ended_by: AtomicI32::new(0),
            server: None,
        }
    }

    /// The same for one that serves.
    pub fn serving(self, server: Option<Server>) -> Guest {
        Guest { server, ..self }
    }

    /// Makes the listener of a guest that serves.
    ///
    /// # Errors
    /// Its port is taken.
    pub fn listen(&self) -> Result<()> {
        let Some(server) = &self.server else { return Ok(()) };
        let netns = lock(&server.netns).take();
        if let Some(netns) = netns {
            *lock(&server.listener) = Some(listener::open(netns, server.port)?);
        }
        Ok(())
    }

    pub fn pid(&self) -> u32 {
        self.home.pid().unsigned_abs()
    }

    /// Which process its host is.
    pub fn identity(&self) -> Option<&Process> {
        self.home.identity()
    }

    pub fn run(&self, id: &str) -> Result<()> {
        let Some(server) = &self.server else { return self.home.run(id, None) };
        // From here on its host alone has it.
        let listener = lock(&server.listener).take();
        self.home.run(id, listener.as_ref().map(AsFd::as_fd))?;
        // A container is started once.
        drop(server.runs.set(id.to_owned()));
        Ok(())
    }

    /// Ends it as a signal would end a process. A guest has no handler to run: the first signal counts. One that serves comes
    /// to its end in peace when it is asked to for the first time.
    pub fn end_by(&self, signal: i32) {
        if ASKS.contains(&signal)
            && let Some(server) = &self.server
            && let Some(id) = server.runs.get()
            && !server.drained.swap(true, Ordering::SeqCst)
            && self.home.drain(id).is_ok()
        {
            return;
        }

        if self.ended_by.compare_exchange(0, signal, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            || signal == libc::SIGKILL
        {
            self.home.kill();
        }
    }

    /// What it has done, if it serves and runs, and its host answers in time.
    pub async fn served(&self) -> Option<Served> {
        let id = self.server.as_ref()?.runs.get()?;
        let served = self.heard.served(|| self.home.count(id));
        tokio::time::timeout(PATIENCE, served).await.ok().flatten()
    }

    /// Tells the terminal its size, in characters. One that is gone with its guest has none: a guest may well end before
    /// containerd has told.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        match lock(&self.stdio).as_ref() {
            Some(stdio) => stdio.resize(width, height),
            None => Ok(()),
        }
    }

    /// Tells it that nothing more comes from stdin.
    pub fn close_stdin(&self) -> Result<()> {
        lock(&self.stdio).as_ref().map_or(Ok(()), Stdio::close_stdin)
    }

    /// How many calls of each kind it was denied, at least: its host tells of the 1st, the 10th, the 100th.
    pub(super) fn denied(&self) -> HashMap<String, u64> {
        self.heard.denied().counts()
    }

    /// Waits for its end; its streams are open still. `container` is whose it is.
    pub(super) async fn exit(&self, container: &Container) -> Exit {
        let exit = match self.home.exit(&self.heard).await {
            Some(exit) => self.as_asked(exit),
            None => self.without_a_word(container).await,
        };
        // What is left of the host has nothing more to do, and holds the streams open.
        self.home.end().await;
        if let (Some(reason), false) = (&exit.reason, exit.told)
            && let Some(stdio) = lock(&self.stdio).as_ref()
        {
            stdio.complain(reason);
        }
        exit
    }

    /// What is left of its output after its end.
    pub(super) fn unread(&self) -> &Unread {
        &self.unread
    }

    /// Closes the streams, which what has ended needs no more.
    pub(super) async fn close(&self) {
        let stdio = lock(&self.stdio).take();
        if let Some(stdio) = stdio {
            stdio.close(&self.unread).await;
        }
    }

    /// Takes away what is left of it: its streams, then the process.
    pub(super) async fn clean(&self) {
        self.unread.forget().await;
        self.home.end().await;
    }

    /// A guest that its host was asked to end has ended by the signal that containerd sent.
    fn as_asked(&self, exit: Exit) -> Exit {
        let asked = u8::try_from(self.ended_by.load(Ordering::SeqCst)).unwrap_or(0);
        match asked > 0 && exit.code == KILLED && exit.reason.is_none() {
            true => Exit { code: 128u8.saturating_add(asked), ..exit },
            false => exit,
        }
    }

    /// The host is gone and said nothing: killed by us, by the kernel for want of memory, or crashed.
    async fn without_a_word(&self, container: &Container) -> Exit {
        let Death { signal, words } = self.home.death().await;
        let exit = |code, oom, reason| {
            let (id, denied) = (String::new(), Counts::new());
            Exit { id, code, oom, reason, told: false, denied }
        };
        let asked = self.ended_by.load(Ordering::SeqCst);
        if let (true, Ok(signal)) = (asked > 0, u8::try_from(asked)) {
            return exit(128u8.saturating_add(signal), false, None);
        }
        if let Some(usage) = container.new_oom_kill().await {
            let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
            let reason = format!(
                "out of memory: memory limit of {:.1} MiB reached: the kernel ended the container, which with its files in \
                 memory and the kernel's own part had {:.1} MiB",
                mib(usage.memory_limit),
                mib(usage.memory_peak.max(usage.memory))
            );
            return exit(KILLED, true, Some(reason));
        }
        let by = signal.map(|signal| format!(" by signal {signal}")).unwrap_or_default();
        let reason = format!(
            "run-wasm: the engine host was ended{by}{}{words}",
            if words.is_empty() { "" } else { ": " }
        );
        exit(CRASHED, false, Some(reason))
    }
}
