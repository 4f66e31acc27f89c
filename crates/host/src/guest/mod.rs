//! One guest: from its compiled code and its grants to its end.
//!
//! [`prepare`] does all that can fail for reasons that a pod's author can cure, [`run`] only runs. Nothing is ambient:
//! what [`Launch`] does not carry, the guest does not have.

mod command;
mod denials;
mod errors;
mod export;
mod fair;
mod http;
mod interfaces;
mod limits;
mod load;
mod module;
mod network;
mod opening;
mod outcome;
mod socketless;
mod state;
mod stdio;
mod value;
mod wasi;

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use grants::Grants;

use crate::engine::Engines;
use crate::memory::heap::Charge;

pub use denials::Denials;
pub use errors::PrepareError;
pub use outcome::Outcome;

use load::Code;
use stdio::Stdio;

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
    /// The standard streams; they are made non-blocking. Without stdin the guest reads an end of file, without stdout
    /// and stderr what it writes is gone.
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// A guest that is loaded and linked, its files open, none of its code run.
pub struct Prepared {
    program: Program,
    stdio: Stdio,
}

enum Program {
    Component(command::Command),
    Module(module::Module),
}

/// Loads, links and checks a guest. Errors are the pod's, or ask for new code ([`PrepareError::Stale`]).
pub fn prepare(engines: &Engines, launch: Launch) -> Result<Prepared, PrepareError> {
    let Launch { code, root, grants, denials, stdin, stdout, stderr } = launch;
    let stdio = Stdio::new(stdin, stdout, stderr).map_err(PrepareError::Stdio)?;
    let code = load::load(engines, &code)?;
    let wasi = wasi::context(&grants, &denials, root.as_deref(), &stdio)?;
    let program = match code {
        Code::Component(component) => {
            Program::Component(command::prepare(&component, grants, denials, wasi)?)
        }
        Code::Module(module) => Program::Module(module::prepare(&module, &grants, wasi)?),
    };
    Ok(Prepared { program, stdio })
}

/// Runs a guest to its end, on this thread, and returns when all of its output is written.
pub fn run(prepared: Prepared) -> Outcome {
    let Prepared { program, stdio } = prepared;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Outcome::broken(format!("cannot make the event loop: {error}")),
    };
    runtime.block_on(async {
        let outcome = match program {
            Program::Component(command) => command.run(&stdio).await,
            Program::Module(module) => module.run(&stdio).await,
        };
        if let Some(account) = Charge::of_this_thread() {
            account.close();
        }
        if let Some(reason) = &outcome.reason {
            stdio.report(reason);
        }
        stdio.drain().await;
        outcome
    })
}
