//! Who is measured: the runtimes, and which image each of them runs.

use std::str::FromStr;

use anyhow::{Error, bail};

/// A runtime, as containerd is told to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Runc,
    Crun,
    Runwasi,
    /// Ours, in normal mode.
    Normal,
    /// Ours, in shared mode.
    Shared,
    /// The null shim.
    Floor,
}

/// All of them.
const ALL: [Peer; 6] = [Peer::Runc, Peer::Crun, Peer::Runwasi, Peer::Normal, Peer::Shared, Peer::Floor];

impl Peer {
    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Runc => "runc",
            Peer::Crun => "crun",
            Peer::Runwasi => "runwasi",
            Peer::Normal => "normal",
            Peer::Shared => "shared",
            Peer::Floor => "floor",
        }
    }

    /// What `ctr run` and `ctr containers create` need to choose it.
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Peer::Runc => &["--runtime", "io.containerd.runc.v2"],
            Peer::Crun => &["--runtime", "io.containerd.runc.v2", "--runc-binary", "crun-for-containerd"],
            Peer::Runwasi => &["--runtime", "io.containerd.peer.v1"],
            Peer::Normal => &["--runtime", "io.containerd.run.v2"],
            Peer::Shared => &["--runtime", "io.containerd.run.v2", "--annotation", "run.wasm/mode=shared"],
            Peer::Floor => &["--runtime", "io.containerd.null.v2"],
        }
    }

    /// What a pod names to be run by it; nothing for what a node has as its default.
    pub fn runtime_class(self) -> Option<&'static str> {
        match self {
            Peer::Runc | Peer::Crun => None,
            Peer::Runwasi => Some("runwasi"),
            Peer::Normal => Some("run-wasm"),
            Peer::Shared => Some("run-wasm-shared"),
            Peer::Floor => Some("null"),
        }
    }

    /// The shim's program.
    pub fn shim(self) -> &'static str {
        match self {
            Peer::Runc | Peer::Crun => "containerd-shim-runc-v2",
            Peer::Runwasi => "containerd-shim-peer-v1",
            Peer::Normal | Peer::Shared => "containerd-shim-run-v2",
            Peer::Floor => "containerd-shim-null-v2",
        }
    }

    /// Whether `shim start` finds the process that serves all pods already, which then stays after its last task.
    pub fn is_shared(self) -> bool {
        self == Peer::Shared
    }

    /// The image of a test program: the Wasm one, or the same program as machine code.
    pub fn image(self, program: &str) -> String {
        match self {
            Peer::Runc | Peer::Crun => format!("localhost/native-{program}:1"),
            Peer::Runwasi | Peer::Normal | Peer::Shared | Peer::Floor => format!("localhost/{program}:1"),
        }
    }
}

impl FromStr for Peer {
    type Err = Error;

    fn from_str(name: &str) -> Result<Peer, Error> {
        match ALL.into_iter().find(|peer| peer.name() == name) {
            Some(peer) => Ok(peer),
            None => bail!("no peer is called {name:?}: choose from {}", ALL.map(Peer::name).join(", ")),
        }
    }
}
