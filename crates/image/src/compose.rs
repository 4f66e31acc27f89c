//! Composition: several components become one, linked by the interfaces that they import and export.
//!
//! It has two steps. [`Plan::new`] decides who serves which import and refuses what cannot work; [`Plan::compose`] carries
//! a plan out and decides nothing. A plan can be stored, so that components which travel as separate layers are linked where
//! they run as they were when the image was built.

mod cycle;
mod error;
mod link;
mod names;
mod parts;
mod plan;
mod target;
mod unmatched;
mod wit;

use std::panic::{AssertUnwindSafe, catch_unwind};

use self::parts::Parts;

pub use self::error::ComposeError;
pub use self::plan::{Choice, Link, Plan, Providers, Wiring};
pub use self::target::{Target, provides};
pub use self::wit::Difference;

/// The largest component that is composed, and the largest result, in bytes. A node runs none that is larger.
pub const MAX_COMPONENT: u64 = 1 << 30;

/// The most components of one composition.
pub const MAX_COMPONENTS: usize = 256;

/// A component by the name that a plan has for it.
#[derive(Debug, Clone, Copy)]
pub struct Component<'a> {
    pub name: &'a str,
    pub bytes: &'a [u8],
}

/// The result of [`compose`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// One component, valid, whose imports a node provides.
    pub bytes: Vec<u8>,
    pub plan: Plan,
}

/// Plans and composes at once. The same components and wiring give the same bytes. A component that needs no other is
/// answered as it is.
///
/// # Errors
/// [`ComposeError`]: a sentence that names the components and interfaces which do not fit.
pub fn compose(
    components: &[Component<'_>],
    wiring: &Wiring,
    target: Target,
) -> Result<Composed, ComposeError> {
    let mut parts = Parts::read(components)?;
    let plan = Plan::of(&parts, wiring, target)?;
    Ok(Composed { bytes: plan.link(&mut parts)?, plan })
}

/// Composes `socket` with `plugs`, of which each serves the socket and the plugs that stand before it. Where several export
/// what is imported the first of them does, so that `[auth, cache]` is a chain of two that both import and export one interface.
///
/// # Errors
/// As [`compose`]; a plug that serves nobody is one.
pub fn plug(
    socket: Component<'_>,
    plugs: &[Component<'_>],
    target: Target,
) -> Result<Composed, ComposeError> {
    let components: Vec<Component<'_>> = std::iter::once(socket).chain(plugs.iter().copied()).collect();
    let order = plugs.iter().map(|plug| plug.name.to_owned()).collect();
    let wiring =
        Wiring { root: socket.name.into(), choices: Vec::new(), providers: Providers::InOrder(order) };
    compose(&components, &wiring, target)
}

/// The library that links asserts what it takes for granted, of components that strangers made as well.
fn guarded<T>(work: impl FnOnce() -> Result<T, ComposeError>) -> Result<T, ComposeError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(ComposeError::Unsupported))
}

#[cfg(test)]
mod tests;
