//! The Wasmtime configurations: hosts and compilers share them, or compiled code would fit no host.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use grants::{Grants, Mode, Profile};
use serde::{Deserialize, Serialize};
use wasmtime::{
    Config, Engine, ModuleVersionStrategy, PoolingAllocationConfig, ResourcesRequired, Result,
    WasmBacktraceDetails,
};

/// The Wasmtime that this program is built with. Code of another patch release is not run.
const WASMTIME: &str = "48.0.8";

/// Counted up with every change of [`Flavour::config`] that Wasmtime itself would not notice in compiled code.
const REVISION: u32 = 2;

/// What a guest may use of its stack; the rest of [`ASYNC_STACK`] is left to the host's functions.
const WASM_STACK: usize = 1 << 20;

/// Address space, not memory: only pages that were touched count.
const ASYNC_STACK: usize = 2 << 20;

/// The C library that this program is built with, as targets name it.
const LIBC: &str = if cfg!(target_env = "musl") { "musl" } else { "gnu" };

/// Frames in the backtrace of a trap.
const BACKTRACE_FRAMES: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// What code is compiled for, as far as the pod decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The strict one computes the same everywhere, down to the bits of NaN and the depth of the stack, and counts fuel.
    pub profile: Profile,
    /// Code of the shared mode looks up now and then whether others have waited long enough.
    pub mode: Mode,
}

impl Build {
    /// What the code of this container is compiled for.
    pub fn of(grants: &Grants) -> Build {
        Build { profile: grants.profile(), mode: grants.mode() }
    }

    fn suffix(self) -> &'static str {
        match (self.profile, self.mode) {
            (Profile::Standard, Mode::Normal) => "",
            (Profile::Standard, Mode::Shared) => "+shared",
            (Profile::Strict, Mode::Normal) => "+strict",
            (Profile::Strict, Mode::Shared) => "+strict+shared",
        }
    }
}

/// One configuration. Code says of which flavour it is, and an engine of another refuses to load it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flavour {
    pub build: Build,
    /// Async functions, streams and futures, which WASI 0.3 is made of. With them each call between components costs
    /// several times as much: the compiler sets this for components that have any, and for no others.
    pub concurrent: bool,
    /// Its code looks up now and then whether it has run for long enough: all code of the shared mode does, and in normal
    /// mode that of servers, where one request must not hold up the others.
    pub interruptible: bool,
    /// A trap shows all memories and globals of its store. Of no account to the code itself.
    pub dumps: bool,
}

impl Flavour {
    /// The flavour of most code of a build.
    pub fn plain(build: Build) -> Flavour {
        Flavour { build, concurrent: false, interruptible: build.mode == Mode::Shared, dumps: false }
    }

    /// The same with all that WASI 0.3 needs.
    pub fn concurrent(build: Build) -> Flavour {
        Flavour { concurrent: true, ..Flavour::plain(build) }
    }

    /// The same for what serves requests: Wasmtime's own way to do so needs concurrency, also for WASI 0.2.
    pub fn serving(build: Build) -> Flavour {
        Flavour { interruptible: true, ..Flavour::concurrent(build) }
    }

    /// The same for a container that leaves core dumps, or does not.
    pub fn dumping(self, dumps: bool) -> Flavour {
        Flavour { dumps, ..self }
    }

    /// What its code says of itself.
    fn version(self) -> String {
        let concurrent = if self.concurrent { "+concurrent" } else { "" };
        let own = self.interruptible && self.build.mode == Mode::Normal;
        format!("{}{concurrent}{}", tag(self.build), if own { "+interruptible" } else { "" })
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
            .wasm_backtrace_details(WasmBacktraceDetails::Enable)
            .coredump_on_trap(self.dumps)
            .epoch_interruption(self.interruptible);
        if self.build.profile == Profile::Strict {
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
pub fn tag(build: Build) -> String {
    format!("wasmtime-{WASMTIME}-{}-commands.{REVISION}{}", std::env::consts::ARCH, build.suffix())
}

/// The engines of one process that runs code, each made when it is first needed. They cannot compile.
#[derive(Debug, Default)]
pub struct Engines {
    made: Mutex<Vec<((Flavour, bool), Engine)>>,
    /// How many containers at a time the pools have room for; without it, there is none.
    pool: Option<u32>,
}

impl Engines {
    /// Engines that keep room for so many containers at a time.
    pub fn pooling(containers: u32) -> Engines {
        Engines { pool: Some(containers), ..Engines::default() }
    }

    /// The engine of one flavour, pooling in a process that does.
    pub fn get(&self, flavour: Flavour) -> Result<Engine> {
        self.make(flavour, self.pool)
    }

    /// The engine of servers with so many instances at a time: they come and go with requests, so that a pool pays where
    /// commands, alone in their process, have none.
    pub fn serving(&self, flavour: Flavour, instances: u32) -> Result<Engine> {
        self.make(flavour, Some(self.pool.unwrap_or(instances)))
    }

    /// The engine of one flavour for what does not fit a pool.
    pub fn on_demand(&self, flavour: Flavour) -> Result<Engine> {
        self.make(flavour, None)
    }

    fn make(&self, flavour: Flavour, pool: Option<u32>) -> Result<Engine> {
        // Few leave dumps, and each pool takes address space for as many as a host has seats.
        let pool = pool.filter(|_| !flavour.dumps);
        let key = (flavour, pool.is_some());
        let mut engines = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, engine)) = engines.iter().find(|(of, _)| *of == key) {
            return Ok(engine.clone());
        }
        let mut config = flavour.config()?;
        if let Some(containers) = pool {
            config.allocation_strategy(pooling(containers));
        }
        let engine = Engine::new(config.enable_compiler(false))?;
        engines.push((key, engine.clone()));
        Ok(engine)
    }

    /// Lets all guests of this process know that time goes on.
    pub fn tick(&self) {
        let engines = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        engines.iter().for_each(|(_, engine)| engine.increment_epoch());
    }
}

/// Room for the instances of so many containers. What it takes is address space: memory is taken by those that run.
fn pooling(containers: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    // Instances are counted and take no place.
    pool.total_component_instances(u32::MAX)
        .total_core_instances(u32::MAX)
        .total_memories(containers)
        .total_tables(containers.saturating_mul(TABLES))
        // One that ends and the next one meet for a moment.
        .total_stacks(containers.saturating_add(SPARE_STACKS))
        .max_tables_per_module(PER_MODULE)
        .max_memories_per_module(PER_MODULE)
        .max_core_instance_size(INSTANCE)
        .max_component_instance_size(INSTANCE)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(WARM);
    pool
}

const SPARE_STACKS: u32 = 16;

/// Whether the place of one container in a pool is enough for what needs these memories and tables; the rest is made as
/// it is needed.
pub(crate) fn fits_a_pool(needs: &ResourcesRequired) -> bool {
    let table = usize::try_from(needs.max_initial_table_size.unwrap_or(0));
    needs.num_memories <= 1
        && needs.num_tables <= TABLES
        && table.is_ok_and(|elements| elements <= TABLE_ELEMENTS)
}

/// Tables of a container that fits a pool, and of one of its modules.
const TABLES: u32 = 8;
const PER_MODULE: u32 = TABLES;

/// The most that the engine keeps of its own for one instance, in bytes.
const INSTANCE: usize = 1 << 20;
const TABLE_ELEMENTS: usize = 1 << 16;

/// Free places that keep what was mapped last, so that the next container of the same code starts on it.
const WARM: u32 = 64;

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
        assert!(tag(Build { profile: Profile::Standard, mode: Mode::Normal }).contains(WASMTIME));
    }

    #[test]
    fn neither_profiles_nor_modes_share_code() {
        let mut tags = std::collections::BTreeSet::new();
        for profile in [Profile::Standard, Profile::Strict] {
            for mode in [Mode::Normal, Mode::Shared] {
                assert!(tags.insert(tag(Build { profile, mode })));
            }
        }
    }
}
