//! The one Wasmtime configuration: hosts and compilers share it, or compiled code would fit no host.

use std::num::NonZeroUsize;

use wasmtime::{Config, Engine, ModuleVersionStrategy, Result, WasmBacktraceDetails};

/// The Wasmtime that this program is built with. Code of another patch release is not run.
const WASMTIME: &str = "48.0.8";

/// Counted up with every change of [`config`] that Wasmtime itself would not notice in compiled code.
const REVISION: u32 = 1;

/// What a guest may use of its stack; the rest of [`ASYNC_STACK`] is left to the host's functions.
const WASM_STACK: usize = 1 << 20;

/// Address space, not memory: only pages that were touched count.
const ASYNC_STACK: usize = 2 << 20;

/// Frames in the backtrace of a trap.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// Names the engine and its configuration: a part of the key of compiled code.
///
/// Code that was compiled under another tag is refused when it is loaded. Does not initialise Wasmtime.
pub fn tag() -> String {
    format!("wasmtime-{WASMTIME}-{}-commands.{REVISION}", std::env::consts::ARCH)
}

/// The engine that runs code; it cannot compile any. A process needs one.
pub fn engine() -> Result<Engine> {
    Engine::new(config()?.enable_compiler(false))
}

/// The engine that compiles, for compiler processes.
pub(crate) fn compiler() -> Result<Engine> {
    // Nothing here unwinds through guest code, and to register its tables costs each start.
    Engine::new(config()?.native_unwind_info(false))
}

fn config() -> Result<Config> {
    let mut config = Config::new();
    config
        .module_version(ModuleVersionStrategy::Custom(tag()))?
        .concurrency_support(false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        .memory_init_cow(true)
        .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
        // File and line numbers where the guest brings them. They are read when it traps, not before.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_names_the_wasmtime_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME}\"\n")));
        assert!(tag().contains(WASMTIME));
    }
}
