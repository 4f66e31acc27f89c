//! The folder that a native container has on the node: what its runtime keeps of it, and what is left to take away when the
//! shim is gone.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::mount;

const STATE: &str = "/run/run-wasm/native";

/// What was made outside of the folder, told before it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    /// The OCI runtime.
    pub program: PathBuf,
    pub systemd: bool,
    /// Where the root file system was mounted by the shim.
    pub rootfs: Option<PathBuf>,
}

/// One container's folder. Its path is short, whatever the container is called: sockets are in it.
#[derive(Debug, Clone)]
pub struct Room(PathBuf);

impl Room {
    /// That of a container of one containerd, which is known by its address.
    pub fn of(address: &str, namespace: &str, id: &str) -> Room {
        let digest = Sha256::digest(format!("{address}/{namespace}/{id}"));
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Room(Path::new(STATE).join(name))
    }

    /// Makes it, empty: root's alone.
    pub fn make(&self, remains: &Remains) -> Result<()> {
        let make = || -> io::Result<()> {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
            fs::write(self.file("remains.json"), serde_json::to_vec(remains)?)
        };
        make().with_context(|| format!("cannot make the folder {}", self.0.display()))
    }

    /// As the runtime's bundle.
    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// What the runtime keeps of the container.
    pub fn state(&self) -> PathBuf {
        self.file("state")
    }

    /// Takes away what the runtime does not: the mount and the folder.
    pub fn remove(&self) {
        if let Some(rootfs) = self.remains().and_then(|remains| remains.rootfs)
            && let Err(error) = mount::hide(&rootfs)
        {
            tracing::warn!(%error, rootfs = %rootfs.display(), "a root file system stays mounted");
        }
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the folder of a native container stays behind");
        }
        // Fails while there are others.
        drop(fs::remove_dir(STATE));
    }

    /// Ends and takes away all of a container whose shim is gone. Does nothing where there is none.
    pub fn sweep(&self, id: &str) {
        let Some(remains) = self.remains() else { return };
        let mut command = Command::new(&remains.program);
        command.arg("--root").arg(self.state());
        if remains.systemd {
            command.arg("--systemd-cgroup");
        }
        command.args(["delete", "--force", id]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = command.status() {
            // stderr is containerd's log.
            eprintln!("cannot run {}: {error}", remains.program.display());
        }
        self.remove();
    }

    fn remains(&self) -> Option<Remains> {
        serde_json::from_slice(&fs::read(self.file("remains.json")).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_has_a_folder_of_its_own_with_a_short_path() {
        let long = "x".repeat(76);
        let room = |address: &str, id: &str| Room::of(address, &long, id).0;
        assert_ne!(room("/run/a.sock", "1"), room("/run/b.sock", "1"));
        assert_ne!(room("/run/a.sock", "1"), room("/run/a.sock", "2"));
        assert!(room("/run/a.sock", &long).as_os_str().len() < 40);
    }
}
