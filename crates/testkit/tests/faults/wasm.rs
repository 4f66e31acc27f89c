//! Bytes that are no Wasm, or none that can be run.

use std::fs;

use anyhow::{Context, Result};
use testkit::{Bundle, Generation, alone, guest};

use super::{refused, works};

/// A container whose `/app.wasm` has these bytes is refused for a reason with these words.
fn bytes_are_refused(bytes: &[u8], words: &[&str]) -> Result<()> {
    alone(|nest| refused(Bundle::bytes(nest, "broken", "app.wasm", bytes)?, nest, words))
}

#[test]
fn nothing_is_no_wasm() -> Result<()> {
    bytes_are_refused(b"", &["/app.wasm", "empty"])
}

#[test]
fn garbage_is_no_wasm() -> Result<()> {
    let garbage: Vec<u8> =
        (0..10_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8 | 0x80).collect();
    bytes_are_refused(&garbage, &["/app.wasm", "not Wasm"])
}

#[test]
fn text_is_no_wasm() -> Result<()> {
    bytes_are_refused(b"hello, I am a letter\n", &["/app.wasm", "not Wasm"])
}

#[test]
fn half_a_component_is_no_component() -> Result<()> {
    let whole = guest("hello.wasm")?;
    bytes_are_refused(
        whole.get(..whole.len() / 2).context("too short")?,
        &["/app.wasm", "invalid", "out of bounds"],
    )
}

#[test]
fn a_hundred_megabytes_of_nothing_are_refused() -> Result<()> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    bytes.resize(100 << 20, 0xff);
    bytes_are_refused(&bytes, &["/app.wasm", "invalid"])
}

#[test]
fn a_module_with_a_hundred_megabytes_of_notes_has_nothing_to_run() -> Result<()> {
    // A custom section: id 0, its length in LEB128 (100 MiB), a name of one byte, then anything.
    let mut bytes = b"\0asm\x01\0\0\0\0\x80\x80\x80\x32\x01x".to_vec();
    let content = (100 << 20) - 2;
    bytes.resize(bytes.len() + content, b'.');
    bytes_are_refused(&bytes, &["nothing to run"])
}

#[test]
fn code_that_was_compiled_elsewhere_is_never_run() -> Result<()> {
    alone(|nest| {
        works(nest, "first")?;
        let cache = nest.see("/var/lib/run-wasm/aot");
        let mut entries = fs::read_dir(cache)?.filter_map(Result::ok).map(|entry| entry.path());
        let code = entries.find(|path| path.extension().is_some_and(|ext| ext == "cwasm"));
        let code = fs::read(code.context("nothing was compiled")?)?;
        refused(Bundle::bytes(nest, "broken", "app.wasm", &code)?, nest, &["/app.wasm", "compiled"])
    })
}

#[test]
fn an_import_that_nobody_has_is_named() -> Result<()> {
    for file in ["unknown-import.wasm", "unknown-import.p1.wasm"] {
        bytes_are_refused(&guest(file)?, &["example:unknown/thing"])?;
    }
    Ok(())
}

#[test]
fn wasm_that_exports_nothing_to_run_says_what_would_be() -> Result<()> {
    bytes_are_refused(&guest("unknown-world.wasm")?, &["nothing to run", "wasi:cli/run"])?;
    bytes_are_refused(&guest("unknown-world.p1.wasm")?, &["nothing to run", "_start"])
}

#[test]
fn a_memory_that_cannot_be_is_invalid() -> Result<()> {
    bytes_are_refused(&guest("invalid-memory.p1.wasm")?, &["invalid", "memory"])
}

#[test]
fn a_memory_larger_than_the_limit_ends_the_guest_and_nothing_else() -> Result<()> {
    alone(|nest| {
        for file in ["huge-memory.wasm", "huge-memory.p1.wasm"] {
            let limit = serde_json::json!({"memory": {"limit": 64 << 20}});
            let bundle = Bundle::of(nest, "huge", file)?.spec(|spec| spec["linux"]["resources"] = limit)?;
            let shim = bundle.shim(Generation::V3)?;
            let code = shim.run()?;
            anyhow::ensure!(code == 137 && shim.output().contains("memory"), "{code}: {}", shim.output());
            shim.shutdown()?;
            works(nest, "huge")?;
        }
        Ok(())
    })
}
