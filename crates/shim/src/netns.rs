//! Which network namespace a container's host belongs in.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use grants::{ContainerType, NetNs, identity};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::mount::unshare_network;
use crate::task::bundle::Bundle;

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
    /// Opens the namespace that a container belongs in.
    pub fn of(bundle: &Bundle) -> Result<Network> {
        Ok(match wanted(bundle)? {
            NetNs::Node => Network::Node,
            NetNs::New => Network::New,
            NetNs::Path(path) => Network::Pod(
                File::open(&path)
                    .with_context(|| format!("cannot open the pod's network namespace {}", path.display()))?
                    .into(),
            ),
        })
    }
}

/// Does something in a network namespace.
pub fn within<T: Send + 'static>(
    netns: OwnedFd,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    apart(move || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
            .context("cannot enter the pod's network namespace")?;
        work()
    })
}

/// Does something on a thread that is thrown away: it leaves this process' own network namespace for good.
fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let thread = std::thread::Builder::new().name("netns".into()).spawn(work);
    let done = thread.context("cannot start a thread")?.join();
    done.unwrap_or_else(|_| anyhow::bail!("the thread in another network namespace failed"))
}

impl Network {
    /// A descriptor of the namespace, made now where it is a new one.
    pub fn descriptor(self) -> Result<OwnedFd> {
        match self {
            Network::Pod(netns) => Ok(netns),
            Network::Node => Ok(File::open(OWN).context("cannot open the node's network namespace")?.into()),
            Network::New => apart(|| {
                unshare_network().context("cannot make a network namespace")?;
                Ok(File::open(OWN)?.into())
            }),
        }
    }
}

/// The network namespace of the thread that looks.
const OWN: &str = "/proc/thread-self/ns/net";

/// A container of a pod belongs where the pod's sandbox says. Its own spec names `/proc/PID/ns/net` of the sandbox's
/// process, and as no process runs for our sandboxes that is the shim's: the node's own network.
fn wanted(bundle: &Bundle) -> Result<NetNs> {
    let spec = bundle.spec();
    match (identity::container_type(spec), identity::sandbox_id(spec)) {
        (ContainerType::Container, Some(sandbox)) => {
            let sandbox = bundle.sibling(sandbox).context("cannot tell the pod's network namespace")?;
            Ok(identity::network_namespace(sandbox.spec()))
        }
        _ => Ok(identity::network_namespace(spec)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn bundle(folder: &Path, id: &str, kind: &str, network: &str) -> Bundle {
        let path = folder.join(id);
        std::fs::create_dir(&path).unwrap();
        let spec = serde_json::json!({
            "ociVersion": "1.0.2",
            "annotations": {
                "io.kubernetes.cri.container-type": kind,
                "io.kubernetes.cri.sandbox-id": "pod",
            },
            "linux": {"namespaces": [{"type": "network", "path": network}]},
        });
        std::fs::write(path.join("config.json"), spec.to_string()).unwrap();
        Bundle::read(&path).unwrap()
    }

    #[test]
    fn a_container_of_a_pod_never_gets_the_shims_own_network() {
        let folder = tempfile::tempdir().unwrap();
        let sandbox = bundle(folder.path(), "pod", "sandbox", "/var/run/netns/cni-1");
        let app = bundle(folder.path(), "app", "container", "/proc/self/ns/net");
        let pods = NetNs::Path("/var/run/netns/cni-1".into());
        assert_eq!((wanted(&sandbox).unwrap(), wanted(&app).unwrap()), (pods.clone(), pods));
    }

    #[test]
    fn a_container_whose_sandbox_is_unknown_is_not_placed_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let app = bundle(folder.path(), "app", "container", "/proc/self/ns/net");
        assert!(wanted(&app).unwrap_err().to_string().contains("network namespace"));
    }
}
