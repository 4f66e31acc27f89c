//! The network of one guest: which sockets it may use for what, and which names it may look up.
//!
//! One decision serves all of it ([`grants::Egress`]), and one memory of what the guest was told about names
//! ([`Names`]): a name opens an address to a guest that asked for the name, by whatever interface.

mod gate;
mod hosts;
pub(super) mod lookup;
mod names;
mod resolver;
pub(super) mod udp;

pub(super) use gate::{Gate, allow};
pub(super) use names::{Names, Unresolved, literal};
