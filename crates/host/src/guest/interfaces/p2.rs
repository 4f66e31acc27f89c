//! WASI 0.2.

use wasmtime::component::{HasData, ResourceTable};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi_http::p2::bindings::http;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView};
use wasmtime_wasi_io::bindings::wasi::io;

use super::super::network::lookup;
use super::super::state::ComponentState;
use super::super::{fair, opening, root, socket_creation};
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
    ("wasi:clocks/monotonic-clock", |l| {
        clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, WasiClocksView::clocks)
    }),
    ("wasi:clocks/wall-clock", |l| {
        clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, WasiClocksView::clocks)
    }),
    ("wasi:filesystem/preopens", root::p2),
    ("wasi:filesystem/types", |l| {
        filesystem::types::add_to_linker::<_, WasiFilesystem>(l, WasiFilesystemView::filesystem)?;
        opening::p2(l)
    }),
    ("wasi:http/outgoing-handler", |l| {
        http::outgoing_handler::add_to_linker::<_, WasiHttp>(l, WasiHttpView::http)
    }),
    ("wasi:http/types", |l| {
        http::types::add_to_linker::<_, WasiHttp>(l, &http::types::LinkOptions::default(), WasiHttpView::http)
    }),
    ("wasi:io/error", |l| io::error::add_to_linker::<_, Table>(l, table)),
    ("wasi:io/poll", |l| {
        io::poll::add_to_linker::<_, Table>(l, table)?;
        fair::poll(l)
    }),
    ("wasi:io/streams", |l| {
        io::streams::add_to_linker::<_, Table>(l, table)?;
        fair::streams(l)
    }),
    ("wasi:random/insecure", |l| random::insecure::add_to_linker::<_, WasiRandom>(l, WasiRandomView::random)),
    ("wasi:random/insecure-seed", |l| {
        random::insecure_seed::add_to_linker::<_, WasiRandom>(l, WasiRandomView::random)
    }),
    ("wasi:random/random", |l| random::random::add_to_linker::<_, WasiRandom>(l, WasiRandomView::random)),
    ("wasi:sockets/instance-network", |l| {
        sockets::instance_network::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)
    }),
    ("wasi:sockets/ip-name-lookup", lookup::p2::add_to_linker),
    ("wasi:sockets/network", |l| {
        let options = sockets::network::LinkOptions::default();
        sockets::network::add_to_linker::<_, WasiSockets>(l, &options, WasiSocketsView::sockets)
    }),
    ("wasi:sockets/tcp", |l| sockets::tcp::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)),
    ("wasi:sockets/tcp-create-socket", |l| {
        sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)?;
        socket_creation::tcp(l)
    }),
    ("wasi:sockets/udp", |l| sockets::udp::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)),
    ("wasi:sockets/udp-create-socket", |l| {
        sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)?;
        socket_creation::udp(l)
    }),
];

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

fn table(state: &mut ComponentState) -> &mut ResourceTable {
    state.ctx().table
}
