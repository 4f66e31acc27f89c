//! Calls that a guest may not make and that have no way to fail: they end it, with a sentence that names the grant.

use grants::{Clock, Grants, Profile, Random};
use wasmtime::Result;
use wasmtime::component::{self, Accessor, Val};

use super::preview1::PREVIEW1;
use super::state::{ComponentState, ModuleState};
use crate::protocol::Kind;

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Clock,
    Random,
    Network,
}

/// The guest made a call that its grants do not give.
#[derive(Debug, thiserror::Error)]
#[error("`{interface}#{function}` is not allowed {why}")]
pub(super) struct Denied {
    need: Need,
    interface: &'static str,
    function: &'static str,
    why: &'static str,
}

impl Denied {
    /// As which it is counted.
    pub(super) fn kind(&self) -> Kind {
        match (self.need, self.interface) {
            (Need::Clock, _) => Kind::Clock,
            (Need::Random, _) => Kind::Random,
            (Need::Network, "wasi:http/outgoing-handler") => Kind::Http,
            (Need::Network, "wasi:sockets/ip-name-lookup") => Kind::Lookup,
            (Need::Network, _) => Kind::Socket,
        }
    }
}

/// An interface, its functions, and those of them that are async.
type Functions = (&'static str, Need, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
const COMPONENTS: &[Functions] = &[
    ("wasi:clocks/monotonic-clock@0.2.12", Need::Clock, &["now", "resolution", "subscribe-instant", "subscribe-duration"], &[]),
    ("wasi:clocks/monotonic-clock@0.3.0", Need::Clock, &["now", "get-resolution"], &["wait-until", "wait-for"]),
    ("wasi:clocks/system-clock@0.3.0", Need::Clock, &["now", "get-resolution"], &[]),
    ("wasi:clocks/wall-clock@0.2.12", Need::Clock, &["now", "resolution"], &[]),
    ("wasi:http/outgoing-handler@0.2.12", Need::Network, &["handle"], &[]),
    ("wasi:random/insecure-seed@0.2.12", Need::Random, &["insecure-seed"], &[]),
    ("wasi:random/insecure-seed@0.3.0", Need::Random, &["get-insecure-seed"], &[]),
    ("wasi:random/insecure@0.2.12", Need::Random, &["get-insecure-random-bytes", "get-insecure-random-u64"], &[]),
    ("wasi:random/insecure@0.3.0", Need::Random, &["get-insecure-random-bytes", "get-insecure-random-u64"], &[]),
    ("wasi:random/random@0.2.12", Need::Random, &["get-random-bytes", "get-random-u64"], &[]),
    ("wasi:random/random@0.3.0", Need::Random, &["get-random-bytes", "get-random-u64"], &[]),
    ("wasi:sockets/ip-name-lookup@0.2.12", Need::Network, &["resolve-addresses"], &[]),
    ("wasi:sockets/tcp-create-socket@0.2.12", Need::Network, &["create-tcp-socket"], &[]),
    ("wasi:sockets/udp-create-socket@0.2.12", Need::Network, &["create-udp-socket"], &[]),
];

/// Replaces the functions of `interface` that `grants` deny in `linker`, which has the interface already.
pub(super) fn component(
    linker: &mut component::Linker<ComponentState>,
    interface: &str,
    grants: &Grants,
) -> Result<()> {
    let Some((interface, need, functions, waits)) = COMPONENTS.iter().find(|(name, ..)| *name == interface)
    else {
        return Ok(());
    };
    let Some(why) = need.denied(grants) else { return Ok(()) };
    let mut instance = linker.instance(interface)?;
    let interface = interface.split('@').next().unwrap_or(interface);
    for function in *functions {
        let denied = move || Denied { need: *need, interface, function, why };
        instance.func_new(function, move |_, _, _: &[Val], _: &mut [Val]| Err(denied().into()))?;
    }
    for function in *waits {
        let denied = move || Denied { need: *need, interface, function, why };
        instance.func_new_concurrent(function, move |_: &Accessor<ComponentState>, _, _, _| {
            Box::pin(async move { Err(denied().into()) })
        })?;
    }
    Ok(())
}

/// The same for WASI preview 1, except its `poll_oneoff`, which does more than wait for a clock.
pub(super) fn module(linker: &mut wasmtime::Linker<ModuleState>, grants: &Grants) -> Result<()> {
    if let Some(why) = Need::Clock.denied(grants) {
        linker.func_wrap(PREVIEW1, "clock_time_get", move |_: i32, _: i64, _: i32| -> Result<i32> {
            Err(Denied { need: Need::Clock, interface: PREVIEW1, function: "clock_time_get", why }.into())
        })?;
        linker.func_wrap(PREVIEW1, "clock_res_get", move |_: i32, _: i32| -> Result<i32> {
            Err(Denied { need: Need::Clock, interface: PREVIEW1, function: "clock_res_get", why }.into())
        })?;
    }
    if let Some(why) = Need::Random.denied(grants) {
        linker.func_wrap(PREVIEW1, "random_get", move |_: i32, _: i32| -> Result<i32> {
            Err(Denied { need: Need::Random, interface: PREVIEW1, function: "random_get", why }.into())
        })?;
    }
    Ok(())
}

/// Why a wait for a clock in preview 1 is denied, if it is.
pub(super) fn waits_of_module(grants: &Grants) -> Option<Denied> {
    let why = Need::Clock.denied(grants)?;
    Some(Denied { need: Need::Clock, interface: PREVIEW1, function: "poll_oneoff", why })
}

impl Need {
    /// Why `grants` deny it, if they do, and what would allow it.
    fn denied(self, grants: &Grants) -> Option<&'static str> {
        let strict = grants.profile() == Profile::Strict;
        match self {
            Self::Clock if grants.clock() != Clock::Deny => None,
            Self::Clock if strict => Some("in the strict profile: `run.wasm/clock: frozen` allows it"),
            Self::Clock => Some("by `run.wasm/clock: deny`: `frozen` or `real` allows it"),
            Self::Random if grants.random() != Random::Deny => None,
            Self::Random if strict => {
                Some("in the strict profile: `run.wasm/random: seed:<number>` allows it")
            }
            Self::Random => Some("by `run.wasm/random: deny`: `seed:<number>` or `real` allows it"),
            Self::Network if !strict => None,
            Self::Network => {
                Some("in the strict profile: `run.wasm/profile: standard` with an egress or a port allows it")
            }
        }
    }
}
