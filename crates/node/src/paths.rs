//! Where things are on a node. All paths are the node's own: [`Root`] says where its `/` is mounted.

use std::path::{Path, PathBuf};

/// Everything that is installed, but for configs.
pub const HOME: &str = "/opt/run-wasm";
/// The link to the release in use. containerd's config names what is beneath it, so that a new release does not change it.
pub const CURRENT: &str = "/opt/run-wasm/current";
/// What was installed, and what was there before.
pub const RECORD: &str = "/opt/run-wasm/installed.json";
/// What is being changed. It is there while something is, and after a run that was killed.
pub const JOURNAL: &str = "/opt/run-wasm/journal.json";
/// Held while the node is being changed.
pub const LOCK: &str = "/opt/run-wasm/lock";
/// The node's config, which the shim reads.
pub const NODE_CONFIG: &str = "/etc/run-wasm/config.toml";
/// The same for the handler `run-shared`: shared is its first mode.
pub const SHARED_CONFIG: &str = "/etc/run-wasm/config-shared.toml";
/// Says that an agent has uninstalled, and that this is how the node should be.
pub const GONE: &str = "/run/run-wasm/uninstalled";
/// Compiled code and whatever else may be lost.
pub const CACHE: &str = "/var/lib/run-wasm";

/// The shim's program, the one for people, and this one, for a node whose agent does not come back.
pub const BINARIES: [&str; 3] = [SHIM, "run-wasm", INSTALLER];
pub const SHIM: &str = "containerd-shim-run-v2";
pub const INSTALLER: &str = "run-wasm-node";

/// Where the node's `/` is: `/`, or where a pod has it mounted.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Root {
    pub fn new(folder: &Path) -> Root {
        Root(folder.to_owned())
    }

    /// The path of this process for the node's `path`.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Whether the node's root is this process's.
    pub fn is_ours(&self) -> bool {
        self.0 == Path::new("/")
    }
}
