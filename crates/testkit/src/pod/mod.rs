//! Pods, as a kubelet makes them.

mod container;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::cri::{
    ContainerStats, Id, LinuxPodSandboxConfig, NamespaceMode, NamespaceOption, Nothing, PodMetadata,
    PodSandboxConfig, PodSandboxState, PodSandboxStatus, PodSandboxStatusResponse, PodSecurityContext,
    RunPodSandboxRequest, Service,
};
use crate::leaks::{PODS, remove_pod_cgroup};
use crate::mode;
use crate::node::Node;
use crate::patience::eventually;

pub use container::{PodContainer, PodContainerSpec};

/// The Kubernetes namespace of pods that do not say another.
const NAMESPACE: &str = "default";

static COUNT: AtomicU32 = AtomicU32::new(1);

/// A pod before it runs.
#[derive(Debug)]
pub struct PodSpec<'a> {
    node: &'a Node,
    name: String,
    namespace: String,
    uid: String,
    handler: String,
    annotations: BTreeMap<String, String>,
    namespaces: NamespaceOption,
    privileged: bool,
    sysctls: BTreeMap<String, String>,
}

impl<'a> PodSpec<'a> {
    pub(crate) fn new(node: &'a Node, name: &str) -> PodSpec<'a> {
        let uid = format!("00000000-0000-4000-8000-{:012x}", COUNT.fetch_add(1, Ordering::Relaxed));
        let namespaces =
            NamespaceOption { pid: NamespaceMode::Container.into(), ..NamespaceOption::default() };
        let (name, namespace, handler) = (name.to_owned(), NAMESPACE.to_owned(), mode::handler().to_owned());
        PodSpec {
            node,
            name,
            namespace,
            uid,
            handler,
            annotations: BTreeMap::new(),
            namespaces,
            privileged: false,
            sysctls: BTreeMap::new(),
        }
    }

    /// The Kubernetes namespace.
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespace = name.to_owned();
        self
    }

    /// The handler of its RuntimeClass: `run` or `run-shared`.
    pub fn handler(mut self, name: &str) -> Self {
        self.handler = name.to_owned();
        self
    }

    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A handler whose node config lets native containers run.
    pub fn native(self) -> Self {
        self.handler(mode::native_handler())
    }

    /// `shareProcessNamespace: true`.
    pub fn share_processes(mut self) -> Self {
        self.namespaces.pid = NamespaceMode::Pod.into();
        self
    }

    /// `hostPID: true`.
    pub fn host_processes(mut self) -> Self {
        self.namespaces.pid = NamespaceMode::Node.into();
        self
    }

    /// `hostIPC: true`.
    pub fn host_ipc(mut self) -> Self {
        self.namespaces.ipc = NamespaceMode::Node.into();
        self
    }

    /// `securityContext.sysctls`.
    pub fn sysctl(mut self, name: &str, value: &str) -> Self {
        self.sysctls.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A pod that may have privileged containers.
    pub fn privileged(mut self) -> Self {
        self.privileged = true;
        self
    }

    /// `hostNetwork: true`.
    pub fn host_network(mut self) -> Self {
        self.namespaces.network = NamespaceMode::Node.into();
        self
    }

    /// Runs the sandbox: what containers are made in.
    pub fn run(self) -> Result<Pod<'a>> {
        let folder = self.node.nest().folder().join("pods").join(&self.uid);
        fs::create_dir_all(folder.join("logs"))?;
        let label = |key: &str, value: &str| (format!("io.kubernetes.pod.{key}"), value.to_owned());
        let linux = LinuxPodSandboxConfig {
            cgroup_parent: format!("/{}/{PODS}/pod{}", self.node.nest().name(), self.uid),
            security_context: Some(PodSecurityContext {
                namespace_options: Some(self.namespaces.clone()),
                privileged: self.privileged,
            }),
            sysctls: self.sysctls,
        };
        let config = PodSandboxConfig {
            hostname: self.name.clone(),
            log_directory: folder.join("logs").display().to_string(),
            labels: [label("name", &self.name), label("namespace", &self.namespace), label("uid", &self.uid)]
                .into(),
            annotations: self.annotations,
            linux: Some(linux),
            metadata: Some(PodMetadata { name: self.name, uid: self.uid.clone(), namespace: self.namespace }),
            ..PodSandboxConfig::default()
        };
        let request = RunPodSandboxRequest { config: Some(config.clone()), runtime_handler: self.handler };
        let id: Id = self.node.cri().call(Service::Runtime, "RunPodSandbox", request)?;
        Ok(Pod { node: self.node, id: id.id, uid: self.uid, folder, config, namespaces: self.namespaces })
    }
}

/// A pod whose sandbox runs.
#[derive(Debug)]
pub struct Pod<'a> {
    node: &'a Node,
    id: String,
    uid: String,
    folder: PathBuf,
    config: PodSandboxConfig,
    namespaces: NamespaceOption,
}

impl<'a> Pod<'a> {
    /// The sandbox's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A container of it that runs an image, to be described further and created.
    pub fn container(&self, name: &str, image: &str) -> PodContainerSpec<'_> {
        PodContainerSpec::new(self, name, image)
    }

    /// A container that runs a guest of test-images.
    pub fn guest(&self, name: &str, file: &str) -> Result<PodContainerSpec<'_>> {
        Ok(self.container(name, &self.node.guest(file)?))
    }

    fn status(&self) -> Result<PodSandboxStatus> {
        let answer: PodSandboxStatusResponse = self.node.cri().about("PodSandboxStatus", &self.id)?;
        answer.status.context("CRI tells of a pod without a status")
    }

    pub fn is_ready(&self) -> Result<bool> {
        Ok(self.status()?.state() == PodSandboxState::Ready)
    }

    /// Its address; empty with `hostNetwork`.
    pub fn ip(&self) -> Result<String> {
        Ok(self.status()?.network.unwrap_or_default().ip)
    }

    /// The stats of its containers, as they are listed.
    pub fn stats(&self) -> Result<Vec<ContainerStats>> {
        self.node.stats(Some(&self.id))
    }

    /// Stops and removes it with all its containers.
    pub fn remove(self) -> Result<()> {
        self.take_away()
    }

    /// As `remove`, and as a kubelet does it: again, where that fails. A shim that was killed is still being cleaned up after
    /// when CRI says that its containers have ended, and for so long containerd fails to ask it.
    pub fn remove_at_last(self) -> Result<()> {
        let mut refused = None;
        let removed = eventually("the pod is taken away", 30, || {
            refused = self.take_away().err();
            Ok(refused.is_none())
        });
        removed
            .map_err(|late| refused.map_or(late, |refused| refused.context("the pod is taken away in 30 s")))
    }

    fn take_away(&self) -> Result<()> {
        self.node.cri().about::<Nothing>("StopPodSandbox", &self.id)?;
        self.node.cri().about::<Nothing>("RemovePodSandbox", &self.id)?;
        remove_pod_cgroup(self.node.nest().name(), &format!("pod{}", self.uid))
    }
}
