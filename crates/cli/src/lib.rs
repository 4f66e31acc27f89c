//! The commands of `run-wasm`. Those about containers ask the shims; none of them talks to containerd.
//!
//! Results go to stdout, everything else to stderr. Exit code 1 is an error told in a sentence, 2 is wrong usage; `run` ends
//! as its guest does, or with 125 where there was nothing to run.

mod build;
mod compose;
mod debug;
mod dev;
mod host;
mod inspect;
mod install;
mod manual;
mod output;
mod pack;
mod progress;
mod ps;
mod records;
mod registry;
mod run;
mod scaffold;
mod shims;
mod signals;
mod source;
mod top;
mod work;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Packs and examines WebAssembly containers.
#[derive(Debug, Parser)]
#[command(name = "run-wasm", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build, compose and pack the project of a folder.
    Build(build::Args),
    /// Run a component as a container, without containerd and without root.
    Run(run::Args),
    /// Build and run the project of a folder, and do so anew whenever a file changes.
    Dev(dev::Args),
    /// Add a dependency to a project, or bring all of its dependencies here.
    Install(install::Args),
    /// Link components into one.
    Compose(compose::Args),
    /// Write what Kubernetes needs to run a component, with the least grants.
    Scaffold(scaffold::Args),
    /// Tell what a component or module is, imports and exports; or what a container is and was given.
    Inspect(inspect::Args),
    /// Pack Wasm files as an OCI image that `ctr images import` takes.
    Image(pack::Args),
    /// Push an image to a registry.
    Push(registry::push::Args),
    /// Pull an image from a registry.
    Pull(registry::pull::Args),
    /// Publish an image as a version, which is never overwritten.
    Publish(registry::publish::Args),
    /// List the tags of a repository.
    Tags(registry::tags::Args),
    /// Sign an image by a key, or make a pair of keys.
    Sign(registry::sign::Args),
    /// Verify that an image is signed by a key.
    Verify(registry::verify::Args),
    /// List the containers that run-wasm runs on this node.
    Ps(ps::Args),
    /// Show what the containers of this node use.
    Top(top::Args),
    /// Tell all that the node knows of one container: state, log, denied calls, sockets, threads.
    Debug(debug::Args),
    /// Write what completes the commands of this program in a shell.
    Completions(manual::Completions),
    /// Write the man page of this program, or of one of its commands.
    Man(manual::Man),
    /// What `run` calls.
    #[command(hide = true)]
    Inside(run::Inside),
    #[command(hide = true)]
    First(run::First),
}

impl Cli {
    /// Carries the command out and writes its result to `out`.
    ///
    /// # Errors
    /// A chain of sentences that names the file or option and the cure.
    pub fn run(self, out: &mut impl Write) -> Result<ExitCode> {
        match self.command {
            Command::Run(args) => return Ok(args.run()),
            Command::Dev(args) => return Ok(args.run()),
            Command::Inside(inside) => return Ok(inside.run()),
            Command::First(first) => return Ok(first.run()),
            Command::Build(args) => args.run(out),
            Command::Install(args) => args.run(out),
            Command::Compose(args) => args.run(out),
            Command::Scaffold(args) => args.run(out),
            Command::Inspect(args) => args.run(out),
            Command::Image(args) => args.run(out),
            Command::Push(args) => args.run(out),
            Command::Pull(args) => args.run(out),
            Command::Publish(args) => args.run(out),
            Command::Tags(args) => args.run(out),
            Command::Sign(args) => args.run(out),
            Command::Verify(args) => args.run(out),
            Command::Ps(args) => args.run(out),
            Command::Top(args) => args.run(out),
            Command::Debug(args) => args.run(out),
            Command::Completions(args) => args.run(out),
            Command::Man(args) => args.run(out),
        }?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether the reader of our output went away.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::Cli;

    /// Two of one name become one, which then seems to be given twice: clap itself tells it only where it is built for debugging.
    #[test]
    fn the_arguments_of_a_command_have_names_of_their_own() {
        let mut program = Cli::command();
        program.build();
        for command in program.get_subcommands() {
            let mut names = BTreeSet::new();
            for argument in command.get_arguments() {
                assert!(names.insert(argument.get_id()), "{}: {}", command.get_name(), argument.get_id());
            }
        }
    }
}
