//! The guest's clocks: the time, or always the same moment.

use std::time::Duration;

use grants::Clock;
use wasmtime::component::{Linker, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocksView as _};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;

use super::state::ComponentState;

/// 2000-01-01T00:00:00Z, where both clocks stand. Far from zero, so that guests may count backwards.
const MOMENT: Duration = Duration::from_secs(946_684_800);

struct Frozen;

impl HostWallClock for Frozen {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        MOMENT
    }
}

impl HostMonotonicClock for Frozen {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        MOMENT.as_secs() * 1_000_000_000
    }
}

/// Gives the guest its clocks. One that is denied stands still behind what denies it.
pub(super) fn set(wasi: &mut WasiCtxBuilder, clock: Clock) {
    if clock != Clock::Real {
        wasi.wall_clock(Frozen).monotonic_clock(Frozen);
    }
}

/// Where time stands still, waiting for it would never end: it ends at once. Replaces what waits in `linker`, which has
/// the rest of `interface` already.
pub(super) fn freeze(linker: &mut Linker<ComponentState>, interface: &str) -> Result<()> {
    match interface {
        "wasi:clocks/monotonic-clock@0.2.12" => freeze_p2(linker, interface),
        "wasi:clocks/monotonic-clock@0.3.0" => freeze_p3(linker, interface),
        _ => Ok(()),
    }
}

fn freeze_p2(linker: &mut Linker<ComponentState>, interface: &str) -> Result<()> {
    let mut clock = linker.instance(interface)?;
    for name in ["subscribe-instant", "subscribe-duration"] {
        clock.func_wrap(name, |mut store: StoreContextMut<'_, ComponentState>, (_time,): (u64,)| {
            let pollable: Resource<DynPollable> = store.data_mut().clocks().subscribe_duration(0)?;
            Ok((pollable,))
        })?;
    }
    Ok(())
}

fn freeze_p3(linker: &mut Linker<ComponentState>, interface: &str) -> Result<()> {
    let mut clock = linker.instance(interface)?;
    for name in ["wait-until", "wait-for"] {
        clock.func_wrap_concurrent(name, |_, (_time,): (u64,)| {
            Box::pin(async {
                tokio::task::yield_now().await;
                Ok(())
            })
        })?;
    }
    Ok(())
}
