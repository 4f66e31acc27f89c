//! The engine host: the process that executes Wasm, and the only one that does.
//!
//! The same program serves both modes; it knows Wasmtime and nothing of containerd. A shim starts it ([`spawn`]),
//! tells it what to run ([`protocol`]) and reads how it ended; the host jails itself first ([`jail`]), then loads and
//! runs containers ([`serve`]).

mod alone;
mod hold;
pub mod jail;
pub mod protocol;
pub mod serve;
pub mod spawn;

pub mod compile;
mod concurrency;
pub mod engine;
pub mod guest;
pub mod link;
pub mod memory;
mod serving;
pub mod tenants;
