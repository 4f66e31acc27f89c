//! `run-wasm completions` and `run-wasm man`: what a packager installs beside the program.

use std::io::Write;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::Cli;

#[derive(Debug, clap::Args)]
pub struct Completions {
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub struct Man {
    /// A command; without it, the program.
    #[arg(value_name = "COMMAND")]
    of: Option<String>,
}

impl Completions {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        // It is made whole first: the library panics where a pipe is closed.
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "run-wasm", &mut text);
        Ok(out.write_all(&text)?)
    }
}

impl Man {
    pub fn run(self, out: &mut impl Write) -> Result<()> {
        let mut program = Cli::command();
        program.build();
        let page = match &self.of {
            None => program,
            Some(name) => program.find_subcommand(name).cloned().with_context(|| {
                format!("there is no command «{}»: `run-wasm help` lists them", name.escape_debug())
            })?,
        };
        Ok(clap_mangen::Man::new(page).render(out)?)
    }
}
