//! The Wasmtime configurations: hosts and compilers share them, or compiled code would fit no host.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use grants::Profile;
use wasmtime::{Config, Engine, ModuleVersionStrategy, Result, WasmBacktraceDetails};

/// The Wasmtime that this program is built with. Code of another patch release is not run.
const WASMTIME: &str = "48.0.8";

/// Counted up with every change of [`Flavour::config`] that Wasmtime itself would not notice in compiled code.
const REVISION: u32 = 1;

/// What a guest may use of its stack; the rest of [`ASYNC_STACK`] is left to the host's functions.
const WASM_STACK: usize = 1 << 20;

/// Address space, not memory: only pages that were touched count.
const ASYNC_STACK: usize = 2 << 20;

/// The C library that this program is built with, as targets name it.
const LIBC: &str = if cfg!(target_env = "musl") { "musl" } else { "gnu" };

/// Frames in the backtrace of a trap.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// One configuration. Code says of which flavour it is, and an engine of another refuses to load it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flavour {
    /// The strict one computes the same everywhere, down to the bits of NaN and the depth of the stack, and counts fuel.
    pub profile: Profile,
    /// Async functions, streams and futures, which WASI 0.3 is made of. With them each call between components costs
    /// several times as much: the compiler sets this for components that have any, and for no others.
    pub concurrent: bool,
}

impl Flavour {
    /// The flavour of most code of a profile.
    pub fn plain(profile: Profile) -> Flavour {
        Flavour { profile, concurrent: false }
    }

    /// The same with all that WASI 0.3 needs.
    pub fn concurrent(profile: Profile) -> Flavour {
        Flavour { profile, concurrent: true }
    }

    /// What its code says of itself.
    fn version(self) -> String {
        format!("{}{}", tag(self.profile), if self.concurrent { "+concurrent" } else { "" })
    }

    fn config(self) -> Result<Config> {
        let mut config = Config::new();
        config
            .module_version(ModuleVersionStrategy::Custom(self.version()))?
            .concurrency_support(self.concurrent)
            .max_wasm_stack(WASM_STACK)
            .async_stack_size(ASYNC_STACK)
            .memory_init_cow(true)
            .wasm_backtrace_max_frames(Some(BACKTRACE_FRAMES))
            // File and line numbers where the guest brings them. They are read when it traps, not before.
            .wasm_backtrace_details(WasmBacktraceDetails::Enable);
        if self.profile == Profile::Strict {
            determine(&mut config)?;
        }
        Ok(config)
    }
}

/// Leaves nothing to chance and to the machine.
fn determine(config: &mut Config) -> Result<()> {
    config
        .consume_fuel(true)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_threads(false)
        // Named, it is not asked for its extensions: with other instructions frames would have other sizes, and a
        // recursion another depth.
        .target(&format!("{}-unknown-linux-{LIBC}", std::env::consts::ARCH))?;
    Ok(())
}

/// Names the engine and all of its configuration that is known before the Wasm is: a part of the key of compiled code.
///
/// What the Wasm itself decides, [`Flavour::concurrent`], is no part of it. Does not initialise Wasmtime.
pub fn tag(profile: Profile) -> String {
    let profile = if profile == Profile::Strict { "+strict" } else { "" };
    format!("wasmtime-{WASMTIME}-{}-commands.{REVISION}{profile}", std::env::consts::ARCH)
}

/// The engines of one process that runs code, each made when it is first needed. They cannot compile.
#[derive(Debug, Default)]
pub struct Engines(Mutex<Vec<(Flavour, Engine)>>);

impl Engines {
    /// The engine of one flavour.
    pub fn get(&self, flavour: Flavour) -> Result<Engine> {
        let mut engines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, engine)) = engines.iter().find(|(of, _)| *of == flavour) {
            return Ok(engine.clone());
        }
        let engine = Engine::new(flavour.config()?.enable_compiler(false))?;
        engines.push((flavour, engine.clone()));
        Ok(engine)
    }
}

/// The engine that compiles, for compiler processes.
pub(crate) fn compiler(flavour: Flavour) -> Result<Engine> {
    // Nothing here unwinds through guest code, and to register its tables costs each start.
    Engine::new(flavour.config()?.native_unwind_info(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_names_the_wasmtime_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME}\"\n")));
        assert!(tag(Profile::Standard).contains(WASMTIME));
    }

    #[test]
    fn profiles_share_no_code() {
        assert_ne!(tag(Profile::Standard), tag(Profile::Strict));
    }
}
