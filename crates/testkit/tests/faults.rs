//! Broken input, broken nodes, and processes that are killed. Each fault is told in one clear sentence, leaves nothing
//! behind, and its id is free again at once.

#[path = "faults/calls.rs"]
mod calls;
#[path = "faults/entry.rs"]
mod entry;
#[path = "faults/forgotten.rs"]
mod forgotten;
#[path = "faults/frames.rs"]
mod frames;
#[path = "faults/kills.rs"]
mod kills;
#[path = "faults/node.rs"]
mod node;
#[path = "faults/wasm.rs"]
mod wasm;

use anyhow::{Result, ensure};
use testkit::{Bundle, Generation, Nest};

/// Expects that a bundle's shim does not start or its container cannot be created, for a reason with all of these words in
/// it; then runs another under the same id.
fn refused(bundle: Bundle<'_>, nest: &Nest, words: &[&str]) -> Result<()> {
    let error = match bundle.shim(Generation::V3) {
        Ok(shim) => {
            let Err(error) = shim.create() else { anyhow::bail!("the container was created") };
            shim.shutdown()?;
            error
        }
        Err(error) => {
            std::fs::remove_dir_all(bundle.path())?;
            error
        }
    };
    let message = format!("{error:#}");
    for word in words {
        ensure!(message.contains(word), "there is no {word:?} in: {message}");
    }
    ensure!(!message.contains('\n') && message.len() < 1000, "this is more than a sentence: {message}");
    works(nest, bundle.id())
}

/// Expects that nothing is left, then runs an ordinary container.
fn works(nest: &Nest, id: &str) -> Result<()> {
    nest.assert_clean()?;
    runs(nest, id)
}

/// Runs an ordinary container.
fn runs(nest: &Nest, id: &str) -> Result<()> {
    let bundle = Bundle::of(nest, id, "hello.wasm")?;
    let shim = bundle.shim(Generation::V2)?;
    let code = shim.run()?;
    ensure!(code == 0 && shim.output() == "hello from run-wasm\n", "{code}: {}", shim.output());
    shim.shutdown()
}
