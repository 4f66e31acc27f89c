//! `run-wasm`: see the library beside this file.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run(&mut std::io::stdout().lock()) {
        Ok(code) => code,
        Err(error) => {
            // Whoever reads from us has seen enough: no fault to report.
            if !cli::is_broken_pipe(&error) {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
