//! Who a container is: what containerd's CRI plugin writes into a spec's annotations, and its network namespace.
//!
//! All of it is absent where no kubelet is (`ctr`, nerdctl): then every container stands alone.

use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

/// What a spec describes, by `io.kubernetes.cri.container-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerType {
    /// The pause container of a pod: never run, it only stands for the pod.
    Sandbox,
    /// A container of a pod.
    Container,
    /// A container without a pod.
    Standalone,
}

/// The network namespace that a spec asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetNs {
    /// The node's own: no network namespace in the spec (`hostNetwork: true`, `ctr run --net-host`).
    Node,
    /// A new one that only this container has: a namespace without a path.
    New,
    /// An existing one, made by CNI.
    Path(PathBuf),
}

/// The pod of a container, for the fields of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pod<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub uid: &'a str,
}

/// The annotation `key` of `spec`.
pub(crate) fn annotation<'a>(spec: &'a Spec, key: &str) -> Option<&'a str> {
    spec.annotations().as_ref()?.get(key).map(String::as_str)
}

/// The id of the pod's sandbox container; on the sandbox itself its own id.
pub fn sandbox_id(spec: &Spec) -> Option<&str> {
    annotation(spec, "io.kubernetes.cri.sandbox-id")
}

/// What the spec describes. Unknown words count as [`ContainerType::Standalone`].
pub fn container_type(spec: &Spec) -> ContainerType {
    match annotation(spec, "io.kubernetes.cri.container-type") {
        Some("sandbox") => ContainerType::Sandbox,
        Some("container") => ContainerType::Container,
        _ => ContainerType::Standalone,
    }
}

/// The container's name in its pod.
pub fn container_name(spec: &Spec) -> Option<&str> {
    annotation(spec, "io.kubernetes.cri.container-name")
}

/// The image as the pod names it.
pub fn image_name(spec: &Spec) -> Option<&str> {
    annotation(spec, "io.kubernetes.cri.image-name")
}

/// The pod, when the spec names it. The uid is empty where containerd left it out (before 1.7).
pub fn pod(spec: &Spec) -> Option<Pod<'_>> {
    Some(Pod {
        name: annotation(spec, "io.kubernetes.cri.sandbox-name")?,
        namespace: annotation(spec, "io.kubernetes.cri.sandbox-namespace")?,
        uid: annotation(spec, "io.kubernetes.cri.sandbox-uid").unwrap_or_default(),
    })
}

/// Whether the spec leaves a namespace out: its container then has the node's own.
pub fn has_the_nodes(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    !namespaces.is_some_and(|all| all.iter().any(|namespace| namespace.typ() == kind))
}

/// The network namespace that the spec asks for.
pub fn network_namespace(spec: &Spec) -> NetNs {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let network = namespaces.and_then(|all| all.iter().find(|ns| ns.typ() == LinuxNamespaceType::Network));
    match network.map(|ns| ns.path().clone()) {
        None => NetNs::Node,
        Some(Some(path)) if !path.as_os_str().is_empty() => NetNs::Path(path),
        Some(_) => NetNs::New,
    }
}
