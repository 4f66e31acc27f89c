//! Pull, push, publish and the rest against a real registry (Debian's docker-registry; `REGISTRY_BIN` names its folder), and
//! against a server that does what no registry should.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod daemon;
mod faults;
mod hostile;
mod kit;
mod logins;
mod patience;
mod real;
mod secure;
mod signatures;
mod uploads;
