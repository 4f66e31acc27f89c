//! `run-wasm run`: a container without containerd, by the same shim, hosts and grants.

mod channel;
mod forward;
mod image;
mod inside;
mod namespaces;
mod options;
mod outside;
mod streams;
mod task;
mod terminal;

use std::io;
use std::os::fd::AsFd;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

pub use self::channel::Order;
pub use self::image::of as image_of;
pub use self::options::{Options, Profile, Publish};
pub use self::outside::{Instance, nothing, shim as find_shim};
use self::terminal::Raw;
use crate::progress;
use crate::registry::Report;
use crate::signals::{Signals, never_stop};

/// The exit code of what could not be run, as docker has it: others are the guest's.
pub const NOT_RUN: u8 = 125;

const HELP: &str = "\
WHAT is a .wasm or .wat file, an image (a tar or a folder, such as `run-wasm image` writes), the folder of a project, which is \
built, or a name in a registry.

The guest has what it is given and nothing else. A strict run, the default, gives the same output for the same input: it has \
no clock, no randomness and no network. The exit code is the guest's; 125 is an error of this program's, told in a sentence, \
and 2 wrong usage.

Examples:
  run-wasm run hello.wasm --greeting hi
  run-wasm run --profile standard -p 8080 server.wasm
  run-wasm run --profile standard --egress api.example.com:443 -v ./data:/data:ro registry.example/team/job:1.2";

/// Runs a component as a container, without containerd and without root.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub options: Options,
    /// What the guest sees of the world besides what it is given.
    #[arg(long, value_enum, default_value = "strict")]
    profile: Profile,
    /// Give the guest this terminal.
    #[arg(long, short)]
    tty: bool,
    /// Tell progress, and the exit code at the end, as lines of JSON on stderr.
    #[arg(long)]
    json: bool,
    /// Do not tell of progress.
    #[arg(long, short)]
    quiet: bool,
    /// A file, an image, a project or a name in a registry.
    what: String,
    /// Arguments of the guest, in place of the image's own.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// The namespaces of a run: the first of two calls of this program by itself.
#[derive(Debug, clap::Args)]
pub struct Inside {
    #[command(flatten)]
    wanted: namespaces::Wanted,
    /// Tell errors as JSON.
    #[arg(long)]
    json: bool,
}

impl Inside {
    pub fn run(&self) -> ExitCode {
        let mut first = Command::new("/proc/self/exe");
        first.arg("first");
        if self.json {
            first.arg("--json");
        }
        self.wanted.enter(first).unwrap_or_else(|error| not_run(self.json, &error))
    }
}

/// The first process in them: the second.
#[derive(Debug, clap::Args)]
pub struct First {
    /// Tell errors as JSON.
    #[arg(long)]
    json: bool,
}

impl First {
    pub fn run(&self) -> ExitCode {
        inside::run(self.json)
    }
}

/// Tells why it could not be run.
fn not_run(json: bool, error: &anyhow::Error) -> ExitCode {
    progress::error(json, error);
    ExitCode::from(NOT_RUN)
}

impl Args {
    pub fn run(&self) -> ExitCode {
        let code = self.carry_out().unwrap_or_else(|error| {
            progress::error(self.json, &error);
            NOT_RUN
        });
        if self.json {
            progress::json(&serde_json::json!({"exit-code": code}));
        }
        ExitCode::from(code)
    }

    fn carry_out(&self) -> Result<u8> {
        let shim = find_shim(self.options.shim.as_deref())?;
        let teller = Report { json: self.json, quiet: self.quiet }.progress();
        let program = crate::work::run(image::find(&self.what, move |event| teller.step(event)))?;
        let publish = &self.options.publish;
        let raw = if self.tty { Some(Raw::new()?) } else { None };
        let size = raw.as_ref().map(Raw::size).transpose()?;
        let prepared = self.options.prepare(&shim, program, &self.args, publish, self.profile, size)?;
        let listeners = self.options.listeners(publish)?;
        let stdin = io::stdin().as_fd().try_clone_to_owned().context("there is no stdin")?;
        // All of it is on this thread, with which the run ends.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            never_stop()?;
            let given = prepared.given(&stdin, &listeners);
            let instance = Instance::begin(&prepared.job, prepared.own_network, self.json, &given)?;
            drop(given);
            drop(prepared);
            watch(instance, raw.as_ref()).await
        })
    }
}

/// Passes signals on until the end.
async fn watch(mut instance: Instance, terminal: Option<&Raw>) -> Result<u8> {
    instance.order(Order::Serve);
    let (mut signals, mut resized) = (Signals::new()?, signal(SignalKind::window_change())?);
    loop {
        tokio::select! {
            code = instance.ended() => return code,
            number = signals.next() => instance.order(Order::Signal(number)),
            _ = resized.recv() => {
                if let Some(size) = terminal.and_then(|terminal| terminal.size().ok()) {
                    instance.order(Order::Resize(size));
                }
            }
        }
    }
}
