//! The shim: containerd's protocols in; containers, sandboxes and events out.
//!
//! This crate knows no Wasmtime. What executes Wasm is another process ([`host_process`]), which this one starts,
//! feeds through one small protocol and watches.

mod address;
mod bootstrap;
mod callers;
mod cgroup;
mod command_line;
mod containerd;
mod daemon;
mod delete;
mod denied;
mod error;
mod events;
mod fork;
mod group;
mod heap;
mod host_process;
mod info;
mod listener;
mod loggers;
mod logging;
mod manager;
mod mount;
mod native;
mod netns;
mod network_files;
mod node_config;
mod observe;
mod reactor;
mod record;
mod sandbox;
mod service;
mod signatures;
mod socket;
mod start;
mod stats;
mod stdin;
mod stdio;
mod sysctl;
mod task;
mod terminal;
mod unread;
mod wasm;

use std::process::ExitCode;

use command_line::{Action, Invocation};

/// The runtime type under which containerd knows this shim.
pub const RUNTIME: &str = "io.containerd.run.v2";

/// Runs what containerd asks for on the command line.
pub fn main() -> ExitCode {
    let result = Invocation::parse(std::env::args().skip(1)).and_then(|invocation| match invocation.action {
        Action::Start => start::start(&invocation),
        Action::Delete => delete::delete(&invocation),
        Action::Info => info::info(),
        Action::Version => info::version(),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("containerd-shim-run-v2: {error:#}");
            ExitCode::FAILURE
        }
    }
}
