//! One guest: from its compiled code and its grants to its end.
//!
//! [`prepare`] does all that can fail for reasons that a pod's author can cure, [`run`] only runs. Nothing is ambient:
//! what [`Launch`] does not carry, the guest does not have.

mod body;
mod clock;
mod command;
mod coredump;
mod denials;
mod deny;
mod errors;
mod export;
mod fair;
mod http;
mod interfaces;
mod library;
mod limits;
mod load;
mod module;
mod network;
mod opening;
mod outcome;
mod preview1;
mod random;
mod root;
mod server;
mod socket_creation;
mod state;
mod stdio;
mod strict;
mod tasks;
mod timeout;
mod value;
mod wait;
mod wasi;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use grants::Grants;

use crate::memory::heap::Charge;

pub use denials::Denials;
pub use errors::PrepareError;
pub use library::Library;
pub use outcome::Outcome;
pub use server::Handle;
pub(crate) use server::Remains;
pub use timeout::Timeout;

use crate::protocol::NameFiles;
use coredump::Dump;
use http::Client;
use library::Linked;
use network::{Gate, Names};
use root::Root;
use stdio::Stdio;
use timeout::Ending;
use wasi::Wasi;

/// What a guest is started with.
#[derive(Debug)]
pub struct Launch {
    /// Code that [`crate::compile`] wrote. It is trusted: whoever can write it can run
    /// anything in this process.
    pub code: PathBuf,
    /// The directory that is the guest's `/`. Without it the guest has no file.
    pub root: Option<PathBuf>,
    pub grants: Grants,
    /// Hears of each call that the grants do not allow.
    pub denials: Denials,
    /// By which a guest that serves is asked to come to its end, and what it has done.
    pub server: Handle,
    /// What the pod's own files say about names.
    pub names: NameFiles,
    /// The certificates that the node trusts, in PEM; read when they are needed.
    pub roots: Option<OwnedFd>,
    /// The standard streams; they are made non-blocking. Without stdin the guest reads an end of file, without stdout
    /// and stderr what it writes is gone.
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// A guest that is loaded and linked, its files open, none of its code run.
pub struct Prepared {
    program: Program,
    /// Kept for as long as the guest lives.
    _linked: Arc<Linked>,
    stdio: Stdio,
    denials: Denials,
    timeout: Option<Duration>,
    ending: Ending,
}

/// A server is one of thousands of idle ones: what else a guest may be takes no room in it.
enum Program {
    Component(Box<command::Command>),
    Server(server::Prepared),
    Module(Box<module::Module>),
}

/// Loads, links and checks a guest. Errors are the pod's, or ask for new code ([`PrepareError::Stale`]).
pub fn prepare(library: &Library, launch: Launch) -> Result<Prepared, PrepareError> {
    let Launch { code, root, grants, denials, server: handle, names, roots, stdin, stdout, stderr } = launch;
    let stdio = Stdio::new(stdin, stdout, stderr, grants.profile()).map_err(PrepareError::Stdio)?;
    let linked = library.linked(&code, &grants)?;
    let names = Arc::new(Names::new(grants.egress(), &names, denials.clone())?);
    let gate = Gate::new(&grants, &names);
    let dump = Dump::of(&grants, root.as_deref());
    let wasi = || wasi::context(&grants, &gate, &stdio);
    let open = || root.as_deref().map(|root| Root::open(root, &grants)).transpose();
    // Of a server it is the limit of each request.
    let timeout = if linked.serves() { None } else { grants.timeout() };
    let client = || Client::new(&grants, names, root.as_deref(), roots.map(File::from));
    let program = match linked.as_ref() {
        Linked::Server(server) => {
            let (root, client, stdio, denials) = (open()?, client(), stdio.clone(), denials.clone());
            let site = server::Site { grants, client, gate, root, stdio, denials, dump };
            Program::Server(server::Prepared::new(server.clone(), site, handle))
        }
        Linked::Component(component) => {
            let (client, wasi) = (client(), Wasi { context: wasi(), root: open()? });
            let command = component.clone().prepare(&grants, client, gate, wasi, &stdio, dump)?;
            Program::Component(Box::new(command))
        }
        Linked::Module(module) => {
            let mut wasi = wasi();
            root.as_deref().map_or(Ok(()), |root| root::preopen(&mut wasi, root, &grants))?;
            Program::Module(Box::new(module.clone().prepare(&grants, wasi, dump)?))
        }
    };
    Ok(Prepared { program, _linked: linked, stdio, denials, timeout, ending: Ending::default() })
}

impl Prepared {
    /// The guest's time limit, if it has one: whoever runs it keeps the time from the start on, on another thread.
    pub fn timeout(&self) -> Option<Timeout> {
        let limit = self.timeout?;
        Some(Timeout::new(limit, self.ending.clone(), self.stdio.clone()))
    }

    /// Whether it needs a listener to be run.
    pub fn serves(&self) -> bool {
        matches!(self.program, Program::Server(_))
    }

    /// What a server leaves behind for a moment when its call is dropped.
    pub(crate) fn remains(&self) -> Option<Remains> {
        match &self.program {
            Program::Server(server) => Some(server.remains()),
            Program::Component(_) | Program::Module(_) => None,
        }
    }

    /// How long the guest may run.
    pub(crate) fn limit(&self) -> Option<Duration> {
        self.timeout
    }

    pub(crate) fn last_words(&self) -> LastWords {
        LastWords(self.stdio.clone())
    }
}

/// Runs a guest to its end, on this thread, and returns when all of its output is written. Never returns when the guest's
/// [`Timeout`] ends it first. A server needs its `listener`.
pub fn run(prepared: Prepared, listener: Option<OwnedFd>) -> Outcome {
    let runtime = match &prepared.program {
        Program::Server(server) => server.runtime(),
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::broken(format!("cannot make the event loop: {error}")),
    };
    let ending = prepared.ending.clone();
    runtime.block_on(async {
        let last_words = prepared.last_words();
        let outcome = call(prepared, listener).await;
        if let Some(account) = Charge::of_this_thread() {
            account.close();
        }
        if !ending.claim() {
            std::future::pending::<()>().await;
        }
        last_words.say(&outcome).await;
        outcome
    })
}

/// Runs a guest to its end, which it is told of by nobody yet. Dropped, the guest is gone.
pub(crate) async fn call(prepared: Prepared, listener: Option<OwnedFd>) -> Outcome {
    let Prepared { program, _linked, stdio, denials, .. } = prepared;
    match program {
        Program::Component(command) => Box::pin(command.run(&stdio, &denials)).await,
        Program::Module(module) => Box::pin(module.run(&stdio, &denials)).await,
        Program::Server(server) => server.run(listener).await,
    }
}

/// The streams of a guest that ends.
pub(crate) struct LastWords(Stdio);

impl LastWords {
    /// Tells the reason of the end, if there is one to tell, and returns when all output is written or nobody reads it.
    pub(crate) async fn say(self, outcome: &Outcome) {
        if let Some(reason) = &outcome.reason {
            self.0.report(reason);
        }
        self.0.drain().await;
    }
}

#[cfg(test)]
mod tests {
    use grants::Grants;

    /// Grants of a guest with these two annotations.
    pub fn grants(egress: &str, listen: &str) -> Grants {
        let spec = serde_json::json!({
            "ociVersion": "1.1.0",
            "process": { "args": ["/app.wasm"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
            "root": { "path": "rootfs" },
            "annotations": { "run.wasm/egress": egress, "run.wasm/listen": listen },
        });
        grants::derive(&serde_json::from_value(spec).unwrap(), &grants::Policy::default()).unwrap()
    }
}
