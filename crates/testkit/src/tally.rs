//! What a test prints: figures, and the sum of one that prints a table of its own.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Error;

/// Counts what passed, and keeps why the rest did not.
#[derive(Debug, Default)]
pub struct Tally {
    passed: usize,
    failed: Vec<(String, Error)>,
}

impl Tally {
    pub fn pass(&mut self) {
        self.passed += 1;
    }

    pub fn fail(&mut self, what: impl Into<String>, why: Error) {
        self.failed.push((what.into(), why));
    }

    pub fn passed(&self) -> usize {
        self.passed
    }

    pub fn failed(&self) -> usize {
        self.failed.len()
    }

    /// Prints every failure and, in cargo's own words, the sum. The exit code is the process'.
    pub fn report(self) -> ExitCode {
        for (what, why) in &self.failed {
            println!("\nFAILED {what}\n{why:#}");
        }
        let word = if self.failed.is_empty() { "ok" } else { "FAILED" };
        println!("\ntest result: {word}. {} passed; {} failed;", self.passed, self.failed.len());
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Prints a line for whoever reads the tests' output, of a test that passes as well.
pub fn tell(line: &str) {
    // Not by a macro: the harness would keep it to itself.
    let mut stdout = std::io::stdout().lock();
    if let Err(error) = stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush()) {
        eprintln!("cannot print a line: {error}");
    }
}

/// The words of the command line by which single cases are chosen; options are cargo's and mean nothing here.
pub fn wanted(name: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| name.contains(&word))
}
