//! The host process: closes the jail, then loads and runs what the shim launches, until the shim is gone.
//!
//! One program for both modes: the host of one container ([`crate::alone`]), and that of many ([`crate::tenants`]).

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use crate::compile::{Limits, link_and_compile};
use crate::engine::Build;
use crate::guest::{Denials, Outcome};
use crate::jail;
use crate::link::Parts;
use crate::protocol::{Channel, Exit, Payload, Reply, Request, Role, Stdio, Traced};
use crate::{alone, hold, tenants};

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
    match close_jail(channel)? {
        None => Ok(()),
        Some((Role::Compiler, _)) => compile_all(channel),
        Some((Role::Holder, _)) => hold::serve(channel),
        Some((Role::Alone, _)) => alone::serve(channel),
        Some((Role::Group { seats }, Some(page))) => tenants::serve(channel, seats, page),
        Some((Role::Group { .. }, None)) => Err(io::Error::other("a host of many lacks its page of tags")),
    }
}

/// The first message decides who this process is from now on. Returns its role and, for a host of many, its page of tags;
/// `None` when the jail does not close and nothing may run.
fn close_jail(channel: &Channel) -> io::Result<Option<(Role, Option<OwnedFd>)>> {
    let Some((Request::Enter { jail, netns, mounts, role }, fds)) = channel.receive::<Request>()? else {
        return Ok(None);
    };
    let mut fds = fds.into_iter();
    let netns = if netns { fds.next() } else { None };
    let mounts = if mounts { fds.next() } else { None };
    let (reply, closed) = match jail::enter(&jail, netns, mounts) {
        Ok(jail::Closed { missing, sockets }) => (Reply::Jailed { missing, sockets }, true),
        Err(error) => (Reply::Failed { message: error.to_string() }, false),
    };
    channel.send(&reply, &[])?;
    Ok(closed.then(|| (role, fds.next())))
}

/// What compilers are for.
fn compile_all(channel: &Channel) -> io::Result<()> {
    while let Some((request, fds)) = channel.receive::<Request>()? {
        let Request::Compile { build, parts } = request else {
            return Err(io::Error::other("a compiler runs nothing"));
        };
        channel.send(&compile(fds, build, parts.as_ref()), &[])?;
    }
    Ok(())
}

/// A compiler that has failed has said so and waits for its end.
fn compile(fds: Vec<OwnedFd>, build: Build, parts: Option<&Parts>) -> Reply {
    let refused = |message| Reply::Refused { id: String::new(), message, stale: false };
    let Ok([input, output]) = <[OwnedFd; 2]>::try_from(fds) else {
        return refused("a compilation lacks a descriptor".to_owned());
    };
    let (input, output, limits) = (input.into(), output.into(), Limits { input: MAX_WASM });
    let compiled = match parts {
        Some(parts) => link_and_compile(input, parts, output, build, limits),
        None => crate::compile::compile(input, output, build, limits),
    };
    match compiled {
        Ok(_) => Reply::Ready { id: String::new(), serves: false },
        Err(error) => refused(cut(error.to_string())),
    }
}

/// What came with a launch: the grants and the pod's files about names, stdin, stdout and stderr, the node's certificates.
pub(crate) type Unpacked = (Payload, [Option<OwnedFd>; 3], Option<OwnedFd>);

pub(crate) fn unpack(stdio: Stdio, roots: bool, fds: Vec<OwnedFd>) -> io::Result<Unpacked> {
    let mut fds = fds.into_iter();
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "a launch lacks a descriptor");
    let mut bytes = Vec::new();
    File::from(fds.next().ok_or_else(missing)?).read_to_end(&mut bytes)?;
    let payload: Payload = serde_json::from_slice(&bytes)?;
    let mut next = |present: bool| if present { fds.next().ok_or_else(missing).map(Some) } else { Ok(None) };
    let streams = [next(stdio.stdin)?, next(stdio.stdout)?, next(stdio.stderr)?];
    Ok((payload, streams, next(roots)?))
}

/// What the shim hears of one container. The first that is said of its end is the last that is heard.
#[derive(Clone)]
pub(crate) struct Voice {
    id: String,
    channel: Arc<Channel>,
    denials: Denials,
    /// Called before its end is told: then the shim may use its id anew.
    forget: Arc<dyn Fn() + Send + Sync>,
}

impl Voice {
    pub fn new(id: String, channel: Arc<Channel>, forget: impl Fn() + Send + Sync + 'static) -> Voice {
        let denials = {
            let (id, channel) = (id.clone(), channel.clone());
            // The shim hears of few of them.
            Denials::new(move |mut denial| {
                denial.sentence = cut(denial.sentence);
                tell(&channel, &Reply::Denied { id: id.clone(), denial });
            })
        };
        Voice { id, channel, denials, forget: Arc::new(forget) }
    }

    /// The denied calls of the container.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// What `serves` needs a listener to be started.
    pub fn ready(&self, serves: bool) {
        tell(&self.channel, &Reply::Ready { id: self.id.clone(), serves });
    }

    /// What its requests have to say to those who trace them.
    pub fn traced(&self, spans: Vec<Traced>) {
        tell(&self.channel, &Reply::Traced { id: self.id.clone(), spans });
    }

    pub fn refuse(&self, message: String, stale: bool) {
        (self.forget)();
        tell(&self.channel, &Reply::Refused { id: self.id.clone(), message: cut(message), stale });
    }

    /// Its reason, if there is one, stands in the guest's stderr.
    pub fn exited(&self, outcome: Outcome) {
        self.end(outcome, true);
    }

    /// Its reason does not.
    pub fn exited_silently(&self, outcome: Outcome) {
        self.end(outcome, false);
    }

    fn end(&self, outcome: Outcome, told: bool) {
        (self.forget)();
        let Outcome { code, reason, oom } = outcome;
        let (id, denied) = (self.id.clone(), self.denials.counts());
        tell(&self.channel, &Reply::Exited(Exit { id, code, reason: reason.map(cut), oom, told, denied }));
    }
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
