//! `run-wasm-node`: see the library beside this file.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match node::Cli::parse().run(&mut std::io::stdout().lock()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
