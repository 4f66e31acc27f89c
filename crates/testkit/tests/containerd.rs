//! Containers under containerd 1.7 and 2.1, by `ctr`.

#[path = "containerd/basics.rs"]
mod basics;
