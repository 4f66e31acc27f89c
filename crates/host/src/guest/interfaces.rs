//! The WASI interfaces of this host, each linked only for components that import it: to link all of them would take
//! longer than most commands run.

use std::collections::BTreeSet;

use wasmtime::Result;
use wasmtime::component::{Component, HasData, Linker, ResourceTable};
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

use super::fair;
use super::state::ComponentState;

/// What every component finds here, granted or not: what is not granted denies access when it is called.
pub(super) const PROVIDED: &str = "components find wasi:cli, wasi:clocks, wasi:filesystem, wasi:http, wasi:io, \
                                   wasi:random and wasi:sockets here, version 0.2.12 or an earlier 0.2";

type Host = Linker<ComponentState>;
type Link = fn(&mut Host) -> Result<()>;

/// Names without their version, and what links them.
const INTERFACES: [(&str, Link); 29] = [
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
    ("wasi:filesystem/preopens", |l| {
        filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, WasiFilesystemView::filesystem)
    }),
    ("wasi:filesystem/types", |l| {
        filesystem::types::add_to_linker::<_, WasiFilesystem>(l, WasiFilesystemView::filesystem)
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
    ("wasi:sockets/ip-name-lookup", |l| {
        sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)
    }),
    ("wasi:sockets/network", |l| {
        let options = sockets::network::LinkOptions::default();
        sockets::network::add_to_linker::<_, WasiSockets>(l, &options, WasiSocketsView::sockets)
    }),
    ("wasi:sockets/tcp", |l| sockets::tcp::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)),
    ("wasi:sockets/tcp-create-socket", |l| {
        sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)
    }),
    ("wasi:sockets/udp", |l| sockets::udp::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)),
    ("wasi:sockets/udp-create-socket", |l| {
        sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(l, WasiSocketsView::sockets)
    }),
];

struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

fn table(state: &mut ComponentState) -> &mut ResourceTable {
    state.ctx().table
}

/// A linker with what `component` imports, as far as this host has it.
pub(super) fn linker(component: &Component) -> Result<Host> {
    let mut linker = Linker::new(component.engine());
    let ty = component.component_type();
    // A composed component may import one interface in several versions: the linker serves them all with one.
    let imports: BTreeSet<&str> = ty.imports(component.engine()).map(|(name, _)| unversioned(name)).collect();
    for (_, link) in INTERFACES.iter().filter(|(name, _)| imports.contains(name)) {
        link(&mut linker)?;
    }
    Ok(linker)
}

fn unversioned(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}
