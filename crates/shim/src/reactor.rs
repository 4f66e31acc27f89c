//! Descriptors in tokio's reactor.
#![allow(unsafe_code, reason = "tokio asks for a promise that the type system could give")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with tokio. It must have been made non-blocking.
pub fn register<T: AsFd + AsRawFd>(inner: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    // SAFETY: `T` lends its descriptor out safely (`AsFd`), so it holds it open as long as it lives, and the types that
    // this crate passes name one and the same descriptor by both traits.
    Ok(unsafe { AsyncFd::register_with_interest(inner, interest) }?)
}
