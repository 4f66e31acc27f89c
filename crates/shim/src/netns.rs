//! Which network namespace a container's host belongs in.

use std::fs::File;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use grants::NetNs;

/// The network namespace of a new host.
#[derive(Debug)]
pub enum Network {
    /// The node's own: the spec names no network namespace.
    Node,
    /// A fresh one with nothing in it: the spec asks for one and names no path.
    New,
    /// The pod's.
    Pod(OwnedFd),
}

impl Network {
    /// Opens what the spec names.
    pub fn open(wanted: &NetNs) -> Result<Network> {
        Ok(match wanted {
            NetNs::Node => Network::Node,
            NetNs::New => Network::New,
            NetNs::Path(path) => Network::Pod(
                File::open(path)
                    .with_context(|| format!("cannot open the pod's network namespace {}", path.display()))?
                    .into(),
            ),
        })
    }
}
