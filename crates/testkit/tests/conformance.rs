//! The WASI test suite (github.com/WebAssembly/wasi-testsuite), program by program in a container under containerd and
//! this shim. `WASI_TESTSUITE` names a checkout that has the programs built; `scripts/conformance.sh` sets it.
//!
//! What fails has to be explained in `docs/conformance.md`, and what is explained there has to fail.

#[path = "conformance/explained.rs"]
mod explained;
#[path = "conformance/node.rs"]
mod node;
#[path = "conformance/operation.rs"]
mod operation;
#[path = "conformance/play.rs"]
mod play;
#[path = "conformance/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use node::Node;
use program::Program;

/// What became of the programs of one folder.
#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

fn main() -> Result<ExitCode> {
    let checkout = std::env::var_os("WASI_TESTSUITE")
        .context("WASI_TESTSUITE is not set: run this as scripts/conformance.sh wasi DIR")?;
    let programs = program::all(checkout.as_ref())?;
    ensure!(
        !programs.is_empty(),
        "{} has no tests/*/testsuite/*/*.wasm: check out the branch prod/testsuite-base, which has the programs built",
        checkout.display()
    );
    let node = Node::start()?;
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut failed = Vec::new();
    for program in programs.iter().filter(|program| testkit::wanted(&program.name)) {
        let count = counts.entry(program.folder.clone()).or_default();
        match tell(&node, program) {
            Verdict::Passed => count.passed += 1,
            Verdict::Skipped => count.skipped += 1,
            Verdict::Failed => {
                count.failed += 1;
                failed.push(program.name.clone());
            }
        }
    }
    println!("\n{:<32} {:>7} {:>7} {:>7}", "WASI test suite", "passed", "failed", "skipped");
    for (folder, Count { passed, failed, skipped }) in &counts {
        println!("{folder:<32} {passed:>7} {failed:>7} {skipped:>7}");
    }
    let tried = programs.iter().map(|program| program.name.as_str()).filter(|name| testkit::wanted(name));
    let surprises = explained::surprises(&failed, tried);
    surprises.iter().for_each(|surprise| println!("{surprise}"));
    node.end()?;
    Ok(if surprises.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// Plays one program, and prints a line, with the reason where it did not pass.
fn tell(node: &Node, program: &Program) -> Verdict {
    let name = &program.name;
    match program.operations() {
        Ok(Err(reason)) => {
            println!("skipped  {name}: {reason}");
            Verdict::Skipped
        }
        Ok(Ok(operations)) => match play::play(node, program, operations) {
            Ok(()) => {
                println!("passed   {name}");
                Verdict::Passed
            }
            Err(error) => {
                println!("failed   {name}: {error:#}");
                Verdict::Failed
            }
        },
        Err(error) => {
            println!("failed   {name}: {error:#}");
            Verdict::Failed
        }
    }
}
