//! `wasi:sockets/ip-name-lookup`, on the names of the guest's pod, in place of Wasmtime's, which would ask the C library.

pub(in crate::guest) mod p2;
pub(in crate::guest) mod p3;
