//! How sockets are made. Guests without any network are denied this very first step: WASI and the jail both refuse it
//! before there is an address to decide on, and here it is noted. UDP sockets get a check each, TCP's is the guest's.

use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host as _, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;
use wasmtime_wasi::p2::{TcpSocket, UdpSocket};
use wasmtime_wasi::p3::bindings::sockets::types;
use wasmtime_wasi::p3::sockets::SocketResult;
use wasmtime_wasi::sockets::{WasiSocketsCtxView, WasiSocketsView as _};

use super::network;
use super::state::ComponentState;
use crate::protocol::Kind;

/// Replaces `create-tcp-socket` in `linker`, which has it already.
pub(super) fn tcp(linker: &mut Linker<ComponentState>) -> Result<()> {
    linker.allow_shadowing(true).instance("wasi:sockets/tcp-create-socket@0.2.12")?.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, ComponentState>, (family,): (IpAddressFamily,)| {
            note(store.data(), "TCP");
            if is_full(store.data_mut()) {
                return Ok((Err(ErrorCode::NewSocketLimit),));
            }
            let mut sockets = store.data_mut().sockets();
            let made: Result<Resource<TcpSocket>, ErrorCode> = match sockets.create_tcp_socket(family) {
                Ok(socket) => Ok(socket),
                Err(error) => Err(sockets.convert_error_code(error)?),
            };
            Ok((made,))
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Replaces `create-udp-socket` in `linker`, which has it already.
pub(super) fn udp(linker: &mut Linker<ComponentState>) -> Result<()> {
    linker.allow_shadowing(true).instance("wasi:sockets/udp-create-socket@0.2.12")?.func_wrap_async(
        "create-udp-socket",
        |mut store: StoreContextMut<'_, ComponentState>, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                note(store.data(), "UDP");
                if is_full(store.data_mut()) {
                    return Ok((Err(ErrorCode::NewSocketLimit),));
                }
                let mut ctx = network::udp::context(&store.data().gate);
                let mut sockets = WasiSocketsCtxView { ctx: &mut ctx, table: store.data_mut().ctx().table };
                let made: Result<Resource<UdpSocket>, ErrorCode> =
                    match sockets.create_udp_socket(family).await {
                        Ok(socket) => Ok(socket),
                        Err(error) => Err(sockets.convert_error_code(error)?),
                    };
                Ok((made,))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// Replaces both of WASI 0.3 in `linker`, which has them already.
pub(super) fn types(linker: &mut Linker<ComponentState>) -> Result<()> {
    let mut interface = linker.allow_shadowing(true).instance("wasi:sockets/types@0.3.0")?;
    interface.func_wrap(
        "[static]tcp-socket.create",
        |mut store: StoreContextMut<'_, ComponentState>, (family,): (types::IpAddressFamily,)| {
            note(store.data(), "TCP");
            if is_full(store.data_mut()) {
                return Ok((Err(types::ErrorCode::Other(None)),));
            }
            let mut sockets = store.data_mut().sockets();
            Ok((made::<types::TcpSocket>(types::HostTcpSocket::create(&mut sockets, family))?,))
        },
    )?;
    interface.func_wrap_async(
        "[static]udp-socket.create",
        |mut store: StoreContextMut<'_, ComponentState>, (family,): (types::IpAddressFamily,)| {
            Box::new(async move {
                note(store.data(), "UDP");
                if is_full(store.data_mut()) {
                    return Ok((Err(types::ErrorCode::Other(None)),));
                }
                let mut ctx = network::udp::context(&store.data().gate);
                let mut sockets = WasiSocketsCtxView { ctx: &mut ctx, table: store.data_mut().ctx().table };
                Ok((made::<types::UdpSocket>(types::HostUdpSocket::create(&mut sockets, family).await)?,))
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// As the guest gets it: its own errors apart from those that trap.
fn made<T>(socket: SocketResult<Resource<T>>) -> Result<Result<Resource<T>, types::ErrorCode>> {
    match socket {
        Ok(socket) => Ok(Ok(socket)),
        Err(error) => error.downcast().map(Err),
    }
}

fn is_full(state: &mut ComponentState) -> bool {
    state.room.is_full(state.ctx().table)
}

fn note(state: &ComponentState, transport: &str) {
    if !state.gate.is_open() {
        state.denials.note(Kind::Socket, || {
            format!(
                "{transport} socket denied: this container has no network; run.wasm/egress: \"10.0.0.7:443\" lets it \
                 connect there, `ports` of the pod or run.wasm/listen: \"8080/tcp\" lets it listen"
            )
        });
    }
}
