//! The heap of a process that waits most of its life, a hundred of which share a node.
#![allow(unsafe_code, reason = "two calls of the C library's allocator")]

/// One heap for all threads: those of a shim live for an instant, and a heap of its own would outlive each.
/// To be called before the first thread is made.
pub fn one_for_all_threads() {
    // SAFETY: sets a number; nothing else runs yet.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Gives back what a create has freed.
pub fn trim() {
    // SAFETY: safe to call at any time from any thread (malloc_trim(3)).
    unsafe { libc::malloc_trim(0) };
}
