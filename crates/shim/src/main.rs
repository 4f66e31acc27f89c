//! `containerd-shim-run-v2`: one static file that is the shim and, started by itself, its hosts and compilers.

use std::process::ExitCode;

/// Counts what guests make their hosts keep; for the shim and the compiler it is the system's own.
#[global_allocator]
static HEAP: host::memory::heap::Charging = host::memory::heap::Charging;

fn main() -> ExitCode {
    // A host, compiler or holder never runs a line of the shim, and a shim never initialises Wasmtime.
    match std::env::args().nth(1).as_deref() {
        Some("host" | "compile" | "hold") => host::serve::main(),
        _ => shim::main(),
    }
}
