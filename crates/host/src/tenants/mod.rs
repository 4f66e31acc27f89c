//! A host of many: the containers of one trust group, as tasks on a few threads.
//!
//! No container has a thread, a process or a cgroup of its own. What the kernel does for a process is done here around
//! its polls: CPU time is counted and bounded ([`cpu`]), memory charged, sockets made for the right pod ([`tags`]).

mod aside;
mod cpu;
mod pace;
mod pause;
mod polls;
pub mod tags;
mod tenant;
pub(crate) mod ticker;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grants::{Mode, Profile};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use wasmtime::{Result, UpdateDeadline};

use crate::engine::Build;
use crate::guest::{Denials, Handle, Launch, Library};
use crate::protocol::{Channel, Payload, Place, Reply, Request, container_dir};
use crate::serve::{Unpacked, Voice, unpack};
use tags::Tags;
use tenant::Tenant;

/// So many at least: one that is held up by a slow file must not hold up all.
const FEWEST_THREADS: usize = 4;

/// A poll that lasts so long has lost itself in native code: guests are called back much earlier.
const STUCK: Duration = Duration::from_secs(10);
const STUCK_TICKS: u128 = STUCK.as_millis() / ticker::TICK.as_millis();

/// Serves a trust group until the shim is gone.
pub(crate) fn serve(channel: &Arc<Channel>, seats: u32, page: OwnedFd) -> io::Result<()> {
    let mut host = Host::new(channel.clone(), seats, Tags::map(page, true)?)?;
    while let Some((request, fds)) = channel.receive::<Request>()? {
        host.answer(request, fds)?;
    }
    // Guests that are in the middle of something are not waited for.
    host.runtime.shutdown_background();
    Ok(())
}

struct Host {
    channel: Arc<Channel>,
    library: Arc<Library>,
    runtime: Runtime,
    containers: Arc<Containers>,
}

/// Those that have not ended.
#[derive(Default)]
struct Containers(Mutex<HashMap<String, Entry>>);

struct Entry {
    tenant: Arc<Tenant>,
    /// Sends it off.
    start: Option<oneshot::Sender<Option<OwnedFd>>>,
    server: Handle,
}

impl Host {
    fn new(channel: Arc<Channel>, seats: u32, tags: Tags) -> io::Result<Host> {
        crash_on_panic();
        let library = Arc::new(Library::pooling(seats));
        let most = Build { profile: Profile::Standard, mode: Mode::Shared };
        library.warm(most).map_err(|error| io::Error::other(error.to_string()))?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from).max(FEWEST_THREADS);
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(threads).thread_name("guests").enable_all();
        polls::begin(tags);
        polls::hook(&mut runtime);
        let clock = library.clone();
        ticker::start(ticker::TICK, move || clock.tick())?;
        Ok(Host { channel, library, runtime: runtime.build()?, containers: Arc::default() })
    }

    fn answer(&mut self, request: Request, fds: Vec<OwnedFd>) -> io::Result<()> {
        match request {
            Request::Launch { id, place, stdio, roots, beside } => {
                let voice = self.voice(&id);
                let tenant = match beside.map(|container| self.containers.tenant(&container)) {
                    None => None,
                    Some(Some(container)) => Some(Tenant::beside(&container)),
                    Some(None) => {
                        voice.refuse("its container has ended".to_owned(), false);
                        return Ok(());
                    }
                };
                match unpack(stdio, roots, fds) {
                    Ok(unpacked) => self.launch(id, voice, tenant, &place, unpacked),
                    // Descriptors are lost where the process has as many as it may: no reason to end for the others here.
                    Err(error) => voice.refuse(format!("the shared host cannot take it: {error}"), false),
                }
                Ok(())
            }
            Request::Start { id, .. } => {
                if let Some(start) = self.containers.lock().get_mut(&id).and_then(|entry| entry.start.take())
                {
                    // One that could not be loaded has hung up already and has said so itself.
                    let _hung_up = start.send(fds.into_iter().next());
                }
                Ok(())
            }
            Request::Kill { id } => {
                if let Some(tenant) = self.containers.tenant(&id) {
                    tenant.kill();
                }
                Ok(())
            }
            Request::Drain { id } => {
                if let Some(server) = self.containers.server(&id) {
                    server.drain();
                }
                Ok(())
            }
            Request::Count { id } => {
                // One that has ended tells that instead.
                let Some(server) = self.containers.server(&id) else { return Ok(()) };
                self.channel.send(&Reply::Served { id, served: Box::new(server.served()) }, &[])
            }
            Request::Pause { id, paused } => {
                if let Some(tenant) = self.containers.tenant(&id) {
                    tenant.pause.set(paused);
                }
                Ok(())
            }
            Request::Resize { id, memory, cpu } => {
                if let Some(tenant) = self.containers.tenant(&id) {
                    tenant.resize(memory, cpu);
                }
                Ok(())
            }
            Request::Measure { id } => {
                let usage = self.containers.tenant(&id).map(|tenant| tenant.usage());
                self.channel.send(&Reply::Used { id, usage: usage.unwrap_or_default() }, &[])
            }
            Request::Ping => self.channel.send(&Reply::Well { stuck: self.containers.stuck() }, &[]),
            Request::Enter { .. } | Request::Compile { .. } => {
                Err(io::Error::other("a host of many neither compiles nor changes its jail"))
            }
        }
    }

    fn voice(&self, id: &str) -> Voice {
        let (containers, gone) = (self.containers.clone(), id.to_owned());
        Voice::new(id.to_owned(), self.channel.clone(), move || containers.forget(&gone))
    }

    /// `tenant` is of a container that is here already.
    fn launch(
        &self,
        id: String,
        voice: Voice,
        tenant: Option<Arc<Tenant>>,
        place: &Place,
        unpacked: Unpacked,
    ) {
        let (Payload { grants, names }, [stdin, stdout, stderr], roots) = unpacked;
        let tenant = tenant.unwrap_or_else(|| Tenant::new(place.tag, grants.memory_limit(), grants.cpu()));
        let code = container_dir(&place.code).join("code");
        let root = container_dir(&place.root).join("root");
        let denials: Denials = voice.denials().clone();
        let told = voice.clone();
        let server = Handle::new(move |spans| told.traced(spans));
        let launch = Launch {
            code,
            root: Some(root),
            grants,
            denials,
            server: server.clone(),
            names,
            stdin,
            stdout,
            stderr,
            roots,
        };
        let (start, started) = oneshot::channel();
        self.containers.lock().insert(id, Entry { tenant: tenant.clone(), start: Some(start), server });
        let life = tenant.clone().live(voice, self.library.clone(), Box::new(launch), started);
        polls::on_behalf_of(tenant, || drop(self.runtime.spawn(life)));
    }
}

impl Containers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tenant(&self, id: &str) -> Option<Arc<Tenant>> {
        self.lock().get(id).map(|entry| entry.tenant.clone())
    }

    fn server(&self, id: &str) -> Option<Handle> {
        self.lock().get(id).map(|entry| entry.server.clone())
    }

    fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    /// The container that a thread cannot get away from.
    fn stuck(&self) -> Option<String> {
        let (tag, _) = polls::longest_poll().filter(|(_, lasted)| u128::from(*lasted) > STUCK_TICKS)?;
        let containers = self.lock();
        let found = containers.iter().find(|(_, entry)| entry.tenant.tag == tag);
        Some(found.map_or_else(|| "a container that has ended".to_owned(), |(id, _)| id.clone()))
    }
}

/// Waits until the container that this thread works for may begin something: it is not paused, and has CPU time left.
pub(crate) async fn turn() {
    while let Some(hold) = polls::current().and_then(|tenant| tenant.held()) {
        hold.await;
    }
}

/// A runtime whose one thread works for many containers, none of which keeps it from the others for long.
pub(crate) fn runtime_of_many() -> io::Result<Runtime> {
    let mut runtime = aside::runtime();
    polls::hook(&mut runtime);
    runtime.enable_all().thread_name("requests").build()
}

/// The container that this thread works for has one more request to answer. Returns whether it has kept threads for long at a time of
/// late.
pub(crate) fn asked() -> bool {
    polls::current().is_some_and(|tenant| {
        tenant.pace.asked();
        tenant.is_slow()
    })
}

/// What a guest does at the end of its turn: it waits for others, or for its quota, or learns that it is over.
pub(crate) fn make_way() -> Result<UpdateDeadline> {
    let Some(tenant) = polls::current() else { return Ok(UpdateDeadline::Yield(1)) };
    let turn = ticker::turn(&tenant);
    if tenant.pause.is_on() {
        let pause = tenant.pause.clone();
        return Ok(UpdateDeadline::YieldCustom(turn, Box::pin(async move { pause.over().await })));
    }
    Ok(match tenant.cpu.wait(polls::running()) {
        None if tenant.is_slow() && !tenant.is_ended() && polls::step_aside() => UpdateDeadline::Continue(1),
        Some(wait) => UpdateDeadline::YieldCustom(turn, Box::pin(tokio::time::sleep(wait))),
        // A guest that is over is dropped where it waits.
        None => UpdateDeadline::YieldCustom(turn, Box::pin(tokio::task::yield_now())),
    })
}

/// A panic is a fault of the host, and what it leaves behind is not to be trusted: the process ends, the shim reports a
/// crash with the panic's message, which is on stderr by then.
fn crash_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}
