//! A pod as the sandbox service is told of it: CRI's own config in place of an OCI spec.
//!
//! What containers need to know of their pod is written into the sandbox's bundle as the `config.json` that CRI's other
//! sandboxes have there. So nobody else has to know which of the two a pod is.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use containerd_client::tonic::codegen::Bytes;
use prost::Message;
use protobuf::well_known_types::any::Any;
use serde_json::{Map, Value, json};

/// Where `start` leaves the runtime options for CreateSandbox, whose own options are the pod's config.
const OPTIONS: &str = "run-wasm.options";

/// The pod's `/etc/resolv.conf`, beside `config.json`: CRI makes none for these sandboxes.
pub const RESOLV_CONF: &str = "resolv.conf";

const CONFIG: &str = "config.json";

/// The end of the type's name under which containerd sends it.
const POD_CONFIG: &str = "PodSandboxConfig";

/// `runtime.v1.PodSandboxConfig` of `k8s.io/cri-api`, as far as it matters here.
#[derive(Clone, PartialEq, Message)]
struct PodConfig {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
    #[prost(string, tag = "2")]
    hostname: String,
    #[prost(message, optional, tag = "4")]
    dns: Option<Dns>,
    #[prost(map = "string, string", tag = "7")]
    annotations: HashMap<String, String>,
    #[prost(message, optional, tag = "8")]
    linux: Option<Linux>,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    uid: String,
    #[prost(string, tag = "3")]
    namespace: String,
}

#[derive(Clone, PartialEq, Message)]
struct Dns {
    #[prost(string, repeated, tag = "1")]
    servers: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    searches: Vec<String>,
    #[prost(string, repeated, tag = "3")]
    options: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Linux {
    #[prost(message, optional, tag = "2")]
    security: Option<Security>,
    #[prost(map = "string, string", tag = "3")]
    sysctls: HashMap<String, String>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Security {
    #[prost(message, optional, tag = "1")]
    namespaces: Option<Modes>,
}

/// `NamespaceMode` of each namespace but the network's, of which CRI tells otherwise.
#[derive(Clone, Copy, PartialEq, Message)]
struct Modes {
    #[prost(int32, tag = "2")]
    pid: i32,
    #[prost(int32, tag = "3")]
    ipc: i32,
}

/// The mode of `hostPID` and `hostIPC`.
const NODE: i32 = 2;

/// Where containerd (2.x) keeps the bundles of sandboxes that a shim makes, beside those of tasks:
/// `<state>/<this>/<namespace>/<id>`.
const BUNDLES: &str = "io.containerd.sandbox.controller.v1.shim";

/// Whether a bundle is a sandbox's of which the sandbox service has yet to be told.
pub fn is_bare(bundle: &Path) -> bool {
    let plugin = bundle.parent().and_then(Path::parent).and_then(Path::file_name);
    plugin.is_some_and(|plugin| plugin == BUNDLES) && !bundle.join(CONFIG).exists()
}

/// The bundle of the sandbox `id`, described before, whose containerd and namespace are those of `task`, a task's bundle.
pub fn bundle(task: &Path, id: &str) -> Option<PathBuf> {
    let namespace = task.parent()?;
    let bundle = namespace.parent()?.with_file_name(BUNDLES).join(namespace.file_name()?).join(id);
    bundle.join(CONFIG).exists().then_some(bundle)
}

/// Keeps the runtime options in a sandbox's bundle.
pub fn keep_options(bundle: &Path, options: Option<&Any>) -> Result<()> {
    let Some(options) = options else { return Ok(()) };
    let file = bundle.join(OPTIONS);
    let bytes = protobuf::Message::write_to_bytes(options)?;
    fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

/// The runtime options that were kept.
pub fn options(bundle: &Path) -> Result<Option<Any>> {
    let file = bundle.join(OPTIONS);
    match fs::read(&file) {
        Ok(bytes) => Ok(Some(protobuf::Message::parse_from_bytes(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

/// Writes what is known of the pod into the sandbox's bundle. `netns` is empty for a pod in the node's network.
pub fn describe(bundle: &Path, id: &str, netns: &str, config: Option<&Any>) -> Result<()> {
    let config = config.filter(|config| config.type_url.ends_with(POD_CONFIG));
    let config = config.map(|config| PodConfig::decode(Bytes::copy_from_slice(&config.value)));
    let config = config.transpose().context("the pod's config is unreadable")?.unwrap_or_default();
    write(bundle, CONFIG, spec(id, netns, &config).to_string().as_bytes())?;
    match &config.dns {
        Some(dns) => write(bundle, RESOLV_CONF, resolv_conf(dns).as_bytes()),
        None => Ok(()),
    }
}

fn write(bundle: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let file = bundle.join(name);
    fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

fn spec(id: &str, netns: &str, config: &PodConfig) -> Value {
    let of_cri = |key: &str, value: &str| (format!("io.kubernetes.cri.{key}"), Value::from(value));
    let own = config.annotations.iter().filter(|(name, _)| name.starts_with("run.wasm/"));
    let mut annotations: Map<String, Value> =
        own.map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    annotations.extend([of_cri("container-type", "sandbox"), of_cri("sandbox-id", id)]);
    if let Some(Metadata { name, uid, namespace }) = &config.metadata {
        annotations.extend([
            of_cri("sandbox-name", name),
            of_cri("sandbox-namespace", namespace),
            of_cri("sandbox-uid", uid),
        ]);
    }
    let modes = config.linux.as_ref().and_then(|linux| linux.security?.namespaces).unwrap_or_default();
    let mut namespaces = Vec::new();
    if !netns.is_empty() {
        namespaces.extend([json!({ "type": "network", "path": netns }), json!({ "type": "uts" })]);
    }
    let own = [("pid", modes.pid), ("ipc", modes.ipc)].into_iter().filter(|(_, mode)| *mode != NODE);
    namespaces.extend(own.map(|(kind, _)| json!({ "type": kind })));
    let sysctls = config.linux.as_ref().map(|linux| &linux.sysctls);
    json!({
        "ociVersion": "1.2.0",
        "hostname": config.hostname,
        "annotations": annotations,
        "linux": { "namespaces": namespaces, "sysctl": sysctls },
    })
}

fn resolv_conf(dns: &Dns) -> String {
    let mut text: String = dns.servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    for (word, values) in [("search", &dns.searches), ("options", &dns.options)] {
        if !values.is_empty() {
            text.push_str(&format!("{word} {}\n", values.join(" ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use grants::{ContainerType, NetNs, identity};
    use oci_spec::runtime::{LinuxNamespaceType as Kind, Spec};

    use super::*;

    fn config() -> PodConfig {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        PodConfig {
            metadata: Some(Metadata { name: "web".into(), uid: "u".into(), namespace: "shop".into() }),
            dns: Some(Dns {
                servers: words(&["10.96.0.10", "fd00::10"]),
                searches: words(&["shop.svc.cluster.local", "cluster.local"]),
                options: words(&["ndots:5"]),
            }),
            annotations: [("run.wasm/mode", "shared"), ("other", "x")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            linux: Some(Linux {
                sysctls: [("net.core.somaxconn".to_owned(), "7".to_owned())].into(),
                ..Linux::default()
            }),
            ..PodConfig::default()
        }
    }

    #[test]
    fn a_pod_reads_as_the_sandboxes_of_the_other_kind_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(BUNDLES).join("k8s.io/box");
        fs::create_dir_all(&path).unwrap();
        let any = Any {
            type_url: "type.googleapis.com/runtime.v1.PodSandboxConfig".into(),
            value: config().encode_to_vec(),
            ..Any::default()
        };
        let task = folder.path().join("io.containerd.runtime.v2.task/k8s.io/app");
        assert!(is_bare(&path) && !is_bare(&task) && bundle(&task, "box").is_none());
        describe(&path, "box", "/run/netns/cni-1", Some(&any)).unwrap();
        assert!(!is_bare(&path));
        assert_eq!(bundle(&task, "box").as_ref(), Some(&path));
        let text = fs::read_to_string(path.join(CONFIG)).unwrap();
        let spec: Spec = serde_json::from_str(&text).unwrap();
        assert_eq!(identity::container_type(&spec), ContainerType::Sandbox);
        assert_eq!(identity::sandbox_id(&spec), Some("box"));
        let pod = identity::pod(&spec).unwrap();
        assert_eq!((pod.namespace, pod.name, pod.uid), ("shop", "web", "u"));
        assert_eq!(identity::network_namespace(&spec), NetNs::Path("/run/netns/cni-1".into()));
        assert_eq!(grants::mode(&spec, &grants::Policy::default()).unwrap(), grants::Mode::Shared);
        assert_eq!(grants::sysctls(&spec).unwrap().len(), 1);
        assert!(!text.contains("other"));
        let resolv_conf = fs::read_to_string(path.join(RESOLV_CONF)).unwrap();
        assert_eq!(
            resolv_conf,
            "nameserver 10.96.0.10\nnameserver fd00::10\nsearch shop.svc.cluster.local cluster.local\noptions ndots:5\n"
        );
    }

    #[test]
    fn a_pod_in_the_nodes_network_has_no_namespace_of_its_own() {
        let spec: Spec = serde_json::from_value(spec("box", "", &PodConfig::default())).unwrap();
        assert_eq!(identity::network_namespace(&spec), NetNs::Node);
    }

    #[test]
    fn a_pod_has_the_nodes_namespaces_only_where_its_config_says_so() {
        let has = |netns: &str, modes: Option<Modes>| {
            let linux = Linux { security: Some(Security { namespaces: modes }), ..Linux::default() };
            let config = PodConfig { linux: Some(linux), hostname: "shop".into(), ..PodConfig::default() };
            let spec: Spec = serde_json::from_value(spec("box", netns, &config)).unwrap();
            assert_eq!(spec.hostname().as_deref(), Some("shop"));
            [Kind::Pid, Kind::Ipc, Kind::Uts].map(|kind| identity::has_the_nodes(&spec, kind))
        };
        assert_eq!(has("/run/netns/cni-1", None), [false, false, false]);
        assert_eq!(has("", None), [false, false, true]);
        assert_eq!(has("/n", Some(Modes { pid: NODE, ipc: 0 })), [true, false, false]);
        assert_eq!(has("/n", Some(Modes { pid: 1, ipc: NODE })), [false, true, false]);
    }

    #[test]
    fn options_are_kept_as_they_came() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(options(folder.path()).unwrap(), None);
        keep_options(folder.path(), None).unwrap();
        let any =
            Any { type_url: "runtimeoptions.v1.Options".into(), value: vec![18, 1, 47], ..Any::default() };
        keep_options(folder.path(), Some(&any)).unwrap();
        assert_eq!(options(folder.path()).unwrap(), Some(any));
    }
}
