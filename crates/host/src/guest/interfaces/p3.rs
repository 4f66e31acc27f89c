//! WASI 0.3. Only engines with concurrency have it.

use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p3::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi_http::p3::bindings::http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};

use super::super::network::lookup;
use super::super::{opening, root, socket_creation};
use super::Interface;

pub(super) const INTERFACES: &[Interface] = &[
    ("wasi:cli/environment", |l| cli::environment::add_to_linker::<_, WasiCli>(l, WasiCliView::cli)),
    ("wasi:cli/exit", |l| cli::exit::add_to_linker::<_, WasiCli>(l, WasiCliView::cli)),
    ("wasi:cli/stdin", |l| cli::stdin::add_to_linker::<_, WasiCli>(l, WasiCliView::cli)),
    ("wasi:cli/stdout", |l| cli::stdout::add_to_linker::<_, WasiCli>(l, WasiCliView::cli)),
    ("wasi:cli/stderr", |l| cli::stderr::add_to_linker::<_, WasiCli>(l, WasiCliView::cli)),
    ("wasi:cli/terminal-input", |l| cli::terminal_input::add_to_linker::<_, WasiCli>(l, WasiCliView::cli)),
    ("wasi:cli/terminal-output", |l| cli::terminal_output::add_to_linker::<_, WasiCli>(l, WasiCliView::cli)),
    ("wasi:cli/terminal-stdin", |l| cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, WasiCliView::cli)),
    ("wasi:cli/terminal-stdout", |l| cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, WasiCliView::cli)),
    ("wasi:cli/terminal-stderr", |l| cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, WasiCliView::cli)),
    ("wasi:clocks/types", |l| clocks::types::add_to_linker::<_, WasiClocks>(l, WasiClocksView::clocks)),
    ("wasi:clocks/monotonic-clock", |l| {
        clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, WasiClocksView::clocks)
    }),
    ("wasi:clocks/system-clock", |l| {
        clocks::system_clock::add_to_linker::<_, WasiClocks>(l, WasiClocksView::clocks)
    }),
    ("wasi:filesystem/preopens", root::p3),
    ("wasi:filesystem/types", |l| {
        filesystem::types::add_to_linker::<_, WasiFilesystem>(l, WasiFilesystemView::filesystem)?;
        opening::p3(l)
    }),
    ("wasi:http/client", |l| http::client::add_to_linker::<_, WasiHttp>(l, WasiHttpView::http)),
    ("wasi:http/types", |l| http::types::add_to_linker::<_, WasiHttp>(l, WasiHttpView::http)),
    ("wasi:random/insecure", |l| random::insecure::add_to_linker::<_, WasiRandom>(l, WasiRandomView::random)),
    ("wasi:random/insecure-seed", |l| {
        random::insecure_seed::add_to_linker::<_, WasiRandom>(l, WasiRandomView::random)
    }),
    ("wasi:random/random", |l| random::random::add_to_linker::<_, WasiRandom>(l, WasiRandomView::random)),
    ("wasi:sockets/ip-name-lookup", lookup::p3::add_to_linker),
    ("wasi:sockets/types", |l| {
        sockets::types::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)?;
        socket_creation::types(l)
    }),
];
