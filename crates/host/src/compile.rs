//! The compiler: Wasm or WAT in, code for [`crate::engine`] out. Runs in a process of its own, as the bytes are
//! anybody's.

use std::fs::File;
use std::io::{self, Read, Write};

use grants::Profile;
use wasmtime::Engine;

use crate::engine::{self, Build, Flavour};
use crate::link::{self, Parts};
use crate::{concurrency, serving};

/// What a compilation may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes of Wasm or WAT that are read.
    pub input: u64,
}

/// What was compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileReport {
    pub kind: Kind,
    /// The flavour of the engine that can run it.
    pub flavour: Flavour,
    /// Bytes read and bytes written.
    pub input: u64,
    pub output: u64,
}

/// The two things that Wasm comes as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Component,
    Module,
}

/// Why there is no code: one sentence about the bytes, to follow the name of the file that they came from.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    #[error("it is empty; Wasm was expected")]
    Empty,
    #[error("it has more than {limit} bytes, which is the limit for Wasm here")]
    TooLarge { limit: u64 },
    #[error("it is code that was compiled already; bring the Wasm that it was made from")]
    Precompiled,
    #[error("it is not Wasm: it begins with {begins}, where Wasm begins with \"\\0asm\"")]
    NotWasm { begins: String },
    #[error("it is neither Wasm nor correct WAT: {0}")]
    Text(String),
    #[error("its Wasm is of no version known here (bytes 4 to 7 are {0:02x?})")]
    Version(Vec<u8>),
    #[error("its Wasm is invalid or uses what this host does not support: {0}")]
    Invalid(String),
    #[error(
        "it has async functions, streams or futures, or imports WASI 0.3, in which the order of events is not fixed; the \
         strict profile runs what is built for WASI 0.2 or 0.1: build it so, or write run.wasm/profile: standard"
    )]
    Concurrent,
    #[error("its components cannot be linked: {0}")]
    Link(String),
    #[error("cannot {step}: {source}")]
    Io { step: &'static str, source: io::Error },
    #[error("cannot make the engine: {0}")]
    Engine(String),
}

/// Compiles what `input` holds and writes the code to `output`.
///
/// Components and core modules are accepted, in binary and in text form. Code that was compiled before is refused, as
/// it would be run unchecked.
pub fn compile(
    input: File,
    output: File,
    build: Build,
    limits: Limits,
) -> Result<CompileReport, CompileError> {
    compile_bytes(&read(input, limits.input)?, output, build)
}

/// The same of several components, which are linked first. `input` holds them one after the other.
pub fn link_and_compile(
    input: File,
    parts: &Parts,
    output: File,
    build: Build,
    limits: Limits,
) -> Result<CompileReport, CompileError> {
    compile_bytes(&link::link(&read(input, limits.input)?, parts)?, output, build)
}

fn compile_bytes(bytes: &[u8], mut output: File, build: Build) -> Result<CompileReport, CompileError> {
    let wasm = binary(bytes)?;
    let kind = kind(&wasm)?;
    let concurrent = kind == Kind::Component && concurrency::is_used_by(&wasm);
    if concurrent && build.profile == Profile::Strict {
        return Err(CompileError::Concurrent);
    }
    let flavour = match concurrent {
        // Nobody serves in the strict profile, which has no network: its host says so.
        _ if build.profile == Profile::Standard && kind == Kind::Component && serving::is_done_by(&wasm) => {
            Flavour::serving(build)
        }
        true => Flavour::concurrent(build),
        false => Flavour::plain(build),
    };
    let engine = engine::compiler(flavour).map_err(|error| CompileError::Engine(sentence(&error)))?;
    let code = match kind {
        Kind::Component => engine.precompile_component(&wasm),
        Kind::Module => engine.precompile_module(&wasm),
    };
    let code = code.map_err(|error| CompileError::Invalid(sentence(&error)))?;
    output.write_all(&code).map_err(|source| CompileError::Io { step: "write the compiled code", source })?;
    Ok(CompileReport { kind, flavour, input: bytes.len() as u64, output: code.len() as u64 })
}

fn read(input: File, limit: u64) -> Result<Vec<u8>, CompileError> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells "as long as the limit" from "longer".
    let read = input.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    match read.map_err(|source| CompileError::Io { step: "read the Wasm", source })? {
        0 => Err(CompileError::Empty),
        read if read as u64 > limit => Err(CompileError::TooLarge { limit }),
        _ => Ok(bytes),
    }
}

/// The binary form of what may be text.
pub(crate) fn binary(bytes: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, CompileError> {
    if bytes.starts_with(b"\0asm") {
        return Ok(bytes.into());
    }
    if Engine::detect_precompiled(bytes).is_some() {
        return Err(CompileError::Precompiled);
    }
    let looks_like_text = std::str::from_utf8(bytes).is_ok_and(|text| !text.contains('\0'));
    if !looks_like_text {
        let begins = bytes.iter().take(4).flat_map(|byte| byte.escape_ascii()).map(char::from);
        return Err(CompileError::NotWasm { begins: format!("\"{}\"", begins.collect::<String>()) });
    }
    wat::parse_bytes(bytes).map_err(|error| CompileError::Text(text_error(&error.to_string())))
}

fn kind(wasm: &[u8]) -> Result<Kind, CompileError> {
    match wasm.get(4..8) {
        Some([1, 0, 0, 0]) => Ok(Kind::Module),
        Some([0x0d, 0, 1, 0]) => Ok(Kind::Component),
        version => Err(CompileError::Version(version.or(wasm.get(4..)).unwrap_or_default().to_vec())),
    }
}

/// The whole chain of an error as one line, offsets included; of several lines of one cause only the first.
fn sentence(error: &wasmtime::Error) -> String {
    let causes = error.chain().map(|cause| cause.to_string());
    causes.map(|cause| cause.lines().next().unwrap_or_default().to_owned()).collect::<Vec<_>>().join(": ")
}

/// WAT errors come as a message, then a picture of the place, whose first line is `--> <file>:line:column`.
fn text_error(picture: &str) -> String {
    let mut lines = picture.lines();
    let message = lines.next().unwrap_or_default();
    let place = lines.next().and_then(|line| line.rsplit_once('>')).map(|(_, place)| place.trim_matches(':'));
    match place.and_then(|place| place.split_once(':')) {
        Some((line, column)) => format!("{message} (line {line}, column {column})"),
        None => message.to_owned(),
    }
}
