//! `guest-tools wat IN OUT`: WAT text to binary, unchecked, so that invalid guests can be made on purpose.
//! `guest-tools component IN OUT`: a p1 command to a p2 component.
//! `guest-tools reactor WIT WORLD IN OUT`: a p1 reactor with the exports of that world to a p2 component.
//! `guest-tools go WIT WORLD MODULE FOLDER`: the Go of that world into FOLDER, the package `MODULE/FOLDER's name`; it calls
//! packages `MODULE/export_...`, whose functions call `collector.Run`.
//! `guest-tools check FILE...`: whether each is valid; prints one line for each.

mod wit;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as ADAPTER_NAME,
    WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as COMMAND_ADAPTER,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as REACTOR_ADAPTER,
};
use wasmparser::{Parser, Validator, WasmFeatures};
use wit_component::ComponentEncoder;

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {path}"))
}

fn write(path: &str, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {path}"))
}

fn binary(input: &str, output: &str) -> Result<()> {
    write(output, &wat::parse_file(Path::new(input))?)
}

fn component(module: &[u8], adapter: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.adapter(ADAPTER_NAME, adapter)?.encode()
}

fn command(input: &str, output: &str) -> Result<()> {
    let component = component(&read(input)?, COMMAND_ADAPTER)
        .with_context(|| format!("cannot make a component of {input}"))?;
    write(output, &component)
}

fn reactor(wit: &str, world: &str, input: &str, output: &str) -> Result<()> {
    let module = wit::World::parse(wit, world)?.embed(read(input)?)?;
    let component =
        component(&module, REACTOR_ADAPTER).with_context(|| format!("cannot make a {world} of {input}"))?;
    write(output, &component)
}

/// Refuses what no engine should run. The proposals are those that are on by default.
fn check(path: &str) -> Result<()> {
    let bytes = read(path)?;
    Validator::new_with_features(WasmFeatures::default())
        .validate_all(&bytes)
        .with_context(|| format!("{path} is invalid"))?;
    let kind = if Parser::is_component(&bytes) { "component" } else { "module" };
    println!("{path}: valid {kind}");
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["wat", input, output] => binary(input, output),
        ["component", input, output] => command(input, output),
        ["reactor", wit, world, input, output] => reactor(wit, world, input, output),
        ["go", wit, world, module, folder] => {
            wit::World::parse(wit, world)?.bind_go(module, Path::new(folder))
        }
        ["check", ref paths @ ..] => paths.iter().try_for_each(|path| check(path)),
        _ => bail!(
            "usage: guest-tools wat IN OUT | component IN OUT | reactor WIT WORLD IN OUT | go WIT WORLD MODULE FOLDER | \
             check FILE..."
        ),
    }
}
