//! How a container runs, and what is not built yet: refused when the container is created, never half granted.

use anyhow::{Result, ensure};
use testkit::Run;

use crate::row::{ALL, Place, Row};

pub const PLUG: Row = Row {
    grant: "run.wasm/plug",
    on: ALL,
    granted: |place| refused(place, "run.wasm/plug", "/deps/math.wasm"),
    not_granted: |place| {
        let refusal = place.run("unknown-import").outcome()?.refusal()?;
        ensure!(refusal.contains("example:unknown/thing"), "{refusal}");
        Ok("an import that nobody has is refused at create".to_owned())
    },
};

pub const MODE: Row = Row {
    grant: "run.wasm/mode",
    on: ALL,
    granted: |place| {
        for mode in ["normal", "shared"] {
            let hello = in_mode(place, mode, "").outcome()?.success()?;
            ensure!(hello == "hello from run-wasm\n", "{hello}");
        }
        Ok("normal, shared: runs".to_owned())
    },
    not_granted: |place| {
        for (mode, other) in [("normal", "shared"), ("shared", "normal")] {
            let refusal = in_mode(place, mode, &format!("modes = [\"{other}\"]\n")).outcome()?;
            let sentence = format!("`{mode}` is not among this node's `modes`");
            ensure!(refusal.code != 0 && refusal.stderr.contains(&sentence), "{refusal}");
        }
        Ok("not among the node's modes: refused".to_owned())
    },
};

/// A guest that chooses its mode, on a node that has this in its config.
fn in_mode<'a>(place: &Place<'a>, mode: &str, config: &str) -> Run<'a> {
    let hello = place.run("hello").annotation("run.wasm/mode", mode);
    hello.config(&format!("{config}[shared]\nidle-exit = \"300ms\"\n"))
}

/// A container with that annotation is refused in a sentence that names it.
fn refused(place: &Place<'_>, annotation: &str, value: &str) -> Result<String> {
    let refusal = place.run("hello").annotation(annotation, value).outcome()?.refusal()?;
    ensure!(refusal.contains(annotation), "{refusal}");
    Ok(format!("{value}: refused at create"))
}
