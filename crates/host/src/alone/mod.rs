//! A host of one container, isolated by the kernel.
//!
//! The main thread owns the control channel and never runs guest code; the container runs on a thread of its own.

mod containers;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use grants::{Mode, Profile};

use crate::engine::Build;
use crate::guest::{self, Handle, Launch, Library, Outcome, PrepareError, Timeout};
use crate::memory::heap::Charge;
use crate::memory::{Account, Then};
use crate::protocol::{Channel, Payload, Place, Reply, Request, Stdio, container_dir};
use crate::serve::{Voice, unpack};
use containers::{Containers, Waiting};

/// Serves one container until the shim is gone, or the container's time is over.
pub(crate) fn serve(channel: &Arc<Channel>) -> io::Result<()> {
    let library = Arc::new(Library::default());
    // The shim is still busy with the container's image and mounts: by the launch the engine that most code needs stands.
    let most = Build { profile: Profile::Standard, mode: Mode::Normal };
    library.warm(most).map_err(|error| io::Error::other(error.to_string()))?;
    let mut containers = Containers::default();
    let mut account = None;
    loop {
        if !channel.readable_by(containers.next_end())? {
            if let Some((voice, outcome)) = containers.end_overdue() {
                // Nobody can stop the thread of a guest: it ends with the process.
                voice.exited(outcome);
                return Ok(());
            }
            continue;
        }
        let Some((request, fds)) = channel.receive::<Request>()? else { return Ok(()) };
        match request {
            Request::Launch { id, place, stdio, roots, beside: None } => {
                let voice = Voice::new(id.clone(), channel.clone(), || {});
                let launch = launch(&voice, &place, stdio, roots, fds)?;
                let server = launch.server.clone();
                let (start, started) = mpsc::channel();
                let (limit, timeout) = mpsc::channel();
                let container = Container::new(voice.clone(), library.clone(), limit, &launch);
                account = Some(container.account.clone());
                std::thread::Builder::new()
                    .name("guest".into())
                    .spawn(move || container.live(launch, &started))?;
                containers.launched(id, Waiting { start, timeout, voice, server });
            }
            Request::Start { id, .. } => containers.start(&id, fds.into_iter().next()),
            Request::Drain { id } => {
                if let Some(server) = containers.server(&id) {
                    server.drain();
                }
            }
            Request::Count { id } => {
                let served = Box::new(containers.server(&id).map(Handle::served).unwrap_or_default());
                channel.send(&Reply::Served { id, served }, &[])?;
            }
            Request::Resize { memory, .. } => {
                if let Some(account) = &account {
                    account.resize(memory);
                }
            }
            other => return Err(io::Error::other(format!("this is no host of many: {other:?}"))),
        }
    }
}

fn launch(voice: &Voice, place: &Place, stdio: Stdio, roots: bool, fds: Vec<OwnedFd>) -> io::Result<Launch> {
    let (Payload { grants, names }, [stdin, stdout, stderr], roots) = unpack(stdio, roots, fds)?;
    let code = container_dir(&place.code).join("code");
    let root = Some(container_dir(&place.root).join("root"));
    let (denials, told) = (voice.denials().clone(), voice.clone());
    let server = Handle::new(move |spans| told.traced(spans));
    Ok(Launch { code, root, grants, denials, server, names, stdin, stdout, stderr, roots })
}

/// One container on its thread.
struct Container {
    voice: Voice,
    library: Arc<Library>,
    /// Hears of the time limit before the container is said to be ready.
    limit: mpsc::Sender<Timeout>,
    /// It was started; before, its end is a refusal.
    runs: Arc<AtomicBool>,
    account: Arc<Account>,
}

impl Container {
    fn new(voice: Voice, library: Arc<Library>, limit: mpsc::Sender<Timeout>, launch: &Launch) -> Container {
        let (told, runs) = (voice.clone(), Arc::new(AtomicBool::new(false)));
        let started = runs.clone();
        let account = Account::new(launch.grants.memory_limit(), move |exhausted| {
            // The host would need too much memory for it. Its thread goes no further; the shim ends this process.
            match started.load(Ordering::Relaxed) {
                true => told.exited_silently(Outcome::exhausted(exhausted)),
                false => told.refuse(exhausted.to_string(), false),
            }
            Then::Stop
        });
        Container { voice, library, limit, runs, account }
    }

    fn live(self, launch: Launch, started: &mpsc::Receiver<Option<OwnedFd>>) {
        let _end_process = AbortOnPanic;
        let _charge = Charge::to(self.account.clone());
        let prepared = match guest::prepare(&self.library, launch) {
            Ok(prepared) => prepared,
            Err(error) => {
                return self.voice.refuse(error.to_string(), matches!(error, PrepareError::Stale(_)));
            }
        };
        // The main thread hears it unless it is at its end.
        drop(prepared.timeout().map(|timeout| self.limit.send(timeout)));
        self.voice.ready(prepared.serves());
        if let Ok(listener) = started.recv() {
            self.runs.store(true, Ordering::Relaxed);
            self.voice.exited(guest::run(prepared, listener));
        }
    }
}

/// A panic is a fault of the host, and what it leaves behind is not to be trusted: the process ends, the shim reports
/// a crash with the panic's message, which the hook has written to stderr by then.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
