//! The host process: closes the jail, then loads and runs what the shim launches, until the shim is gone.
//!
//! The main thread owns the control channel and never runs guest code; each container runs on a thread of its own.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use grants::Profile;

use crate::compile::Limits;
use crate::containers::{Containers, Waiting};
use crate::engine::{Engines, Flavour};
use crate::guest::{self, Denials, Launch, Outcome, PrepareError, Timeout};
use crate::jail::{self, Jail};
use crate::memory::heap::Charge;
use crate::memory::{Account, Exhausted};
use crate::protocol::{Channel, Counts, Exit, Payload, Reply, Request, Stdio, container_dir};

/// The most of a reason that travels in a reply; a backtrace beyond it helps nobody.
const MAX_REASON: usize = 8 * 1024;

/// The largest Wasm that is compiled, in bytes.
const MAX_WASM: u64 = 1 << 30;

/// Runs a host to its end. The process holds its control channel at [`crate::protocol::CONTROL_FD`].
pub fn main() -> ExitCode {
    let channel = Arc::new(Channel::new(crate::spawn::inherited_control()));
    match serve(&channel) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("host: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(channel: &Arc<Channel>) -> io::Result<()> {
    let Some(jail) = close_jail(channel)? else {
        return Ok(());
    };
    let engines = Arc::new(Engines::default());
    if !jail.compiler {
        // The shim is still busy with the container's image and mounts: by the launch the engine that most code needs
        // stands.
        engines
            .get(Flavour::plain(Profile::Standard))
            .map_err(|error| io::Error::other(format!("{error:#}")))?;
    }
    let mut containers = Containers::default();
    loop {
        if !channel.readable_by(containers.next_end())? {
            if let Some((id, outcome, denied)) = containers.end_overdue() {
                // Nobody can stop the thread of a guest: it ends with the process.
                return channel.send(&exited(id, outcome, true, denied), &[]);
            }
            continue;
        }
        let Some((request, fds)) = channel.receive::<Request>()? else { return Ok(()) };
        match request {
            Request::Launch { id, stdio, roots } => {
                let denials = denials(&id, channel);
                let launch = unpack(&id, stdio, roots, fds, denials.clone())?;
                let (start, started) = mpsc::channel();
                let (limit, timeout) = mpsc::channel();
                let container = Container {
                    id: id.clone(),
                    engines: engines.clone(),
                    channel: channel.clone(),
                    denials: denials.clone(),
                    limit,
                    runs: Arc::default(),
                };
                std::thread::Builder::new()
                    .name("guest".into())
                    .spawn(move || container.live(launch, &started))?;
                containers.launched(id, Waiting { start, timeout, denials });
            }
            Request::Start { id } => containers.start(&id),
            Request::Compile { profile } => channel.send(&compile(fds, profile), &[])?,
            Request::Enter { .. } => return Err(io::Error::other("the jail is closed already")),
        }
    }
}

/// The first message decides who this process is from now on. Returns the closed jail, or `None` when nothing may run.
fn close_jail(channel: &Channel) -> io::Result<Option<Jail>> {
    let Some((Request::Enter { jail, netns }, fds)) = channel.receive::<Request>()? else {
        return Ok(None);
    };
    let netns = fds.into_iter().next().filter(|_| netns);
    let (reply, closed) = match jail::enter(&jail, netns) {
        Ok(missing) => (Reply::Jailed { missing }, true),
        Err(error) => (Reply::Failed { message: error.to_string() }, false),
    };
    channel.send(&reply, &[])?;
    Ok(closed.then_some(jail))
}

/// What compilers are for. One that has failed has said so and waits for its end.
fn compile(fds: Vec<OwnedFd>, profile: Profile) -> Reply {
    let refused = |message| Reply::Refused { id: String::new(), message, stale: false };
    let Ok([input, output]) = <[OwnedFd; 2]>::try_from(fds) else {
        return refused("a compilation lacks a descriptor".to_owned());
    };
    match crate::compile::compile(input.into(), output.into(), profile, Limits { input: MAX_WASM }) {
        Ok(_) => Reply::Ready { id: String::new() },
        Err(error) => refused(cut(error.to_string())),
    }
}

/// The denied calls of a container; the shim hears of few of them.
fn denials(id: &str, channel: &Arc<Channel>) -> Denials {
    let (id, channel) = (id.to_owned(), channel.clone());
    Denials::new(move |mut denial| {
        denial.sentence = cut(denial.sentence);
        tell(&channel, &Reply::Denied { id: id.clone(), denial });
    })
}

fn unpack(id: &str, stdio: Stdio, roots: bool, fds: Vec<OwnedFd>, denials: Denials) -> io::Result<Launch> {
    let mut fds = fds.into_iter();
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "a launch lacks a descriptor");
    let mut payload = Vec::new();
    File::from(fds.next().ok_or_else(missing)?).read_to_end(&mut payload)?;
    let Payload { grants, names }: Payload = serde_json::from_slice(&payload)?;
    let mut next = |present: bool| if present { fds.next().ok_or_else(missing).map(Some) } else { Ok(None) };
    let dir = container_dir(id);
    Ok(Launch {
        code: dir.join("code"),
        root: Some(dir.join("root")),
        grants,
        denials,
        names,
        stdin: next(stdio.stdin)?,
        stdout: next(stdio.stdout)?,
        stderr: next(stdio.stderr)?,
        roots: next(roots)?,
    })
}

/// One container on its thread.
#[derive(Clone)]
struct Container {
    id: String,
    engines: Arc<Engines>,
    channel: Arc<Channel>,
    denials: Denials,
    /// Hears of the time limit before the container is said to be ready.
    limit: mpsc::Sender<Timeout>,
    /// It was started; before, its end is a refusal.
    runs: Arc<AtomicBool>,
}

impl Container {
    fn live(self, launch: Launch, started: &mpsc::Receiver<()>) {
        let _end_process = AbortOnPanic;
        let told = self.clone();
        let account = Account::new(launch.grants.memory_limit(), move |exhausted| told.exhausted(exhausted));
        let _charge = Charge::to(account);
        let prepared = match guest::prepare(&self.engines, launch) {
            Ok(prepared) => prepared,
            Err(error) => {
                return self.refuse(error.to_string(), matches!(error, PrepareError::Stale(_)));
            }
        };
        // The main thread hears it unless it is at its end.
        drop(prepared.timeout().map(|timeout| self.limit.send(timeout)));
        self.reply(&Reply::Ready { id: self.id.clone() });
        if started.recv().is_ok() {
            self.runs.store(true, Ordering::Relaxed);
            self.exited(guest::run(prepared), true);
        }
    }

    /// The host would need too much memory for it. Its thread goes no further; the shim ends this process.
    fn exhausted(&self, exhausted: &Exhausted) {
        if !self.runs.load(Ordering::Relaxed) {
            return self.refuse(exhausted.to_string(), false);
        }
        self.exited(Outcome::exhausted(exhausted), false);
    }

    fn refuse(&self, message: String, stale: bool) {
        self.reply(&Reply::Refused { id: self.id.clone(), message: cut(message), stale });
    }

    fn exited(&self, outcome: Outcome, told: bool) {
        self.reply(&exited(self.id.clone(), outcome, told, self.denials.counts()));
    }

    fn reply(&self, reply: &Reply) {
        tell(&self.channel, reply);
    }
}

/// `told`: the guest's stderr has the reason already.
fn exited(id: String, outcome: Outcome, told: bool, denied: Counts) -> Reply {
    let Outcome { code, reason, oom } = outcome;
    Reply::Exited(Exit { id, code, reason: reason.map(cut), oom, told, denied })
}

/// Without a shim to hear it there is nobody to tell, and the process ends with the channel.
fn tell(channel: &Channel, reply: &Reply) {
    if let Err(error) = channel.send(reply, &[]) {
        eprintln!("host: cannot reply: {error}");
    }
}

fn cut(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    reason
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
