//! A node without a kubelet: containerd with CRI and a pod network, and calls as a kubelet makes them.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use image::{Format, ImageBuilder};

use crate::containerd::{Containerd, SOCKET, Version};
use crate::cri::{
    ContainerStats, ContainerStatsFilter, Cri, Id, ImageRequest, ImageSpec, ImageStatusResponse,
    ListContainerStatsRequest, ListContainerStatsResponse, Nothing, RuntimeHandlerFeatures, Service,
    StatusResponse,
};
use crate::environment::{folder, guest};
use crate::mode;
use crate::native::busybox;
use crate::nest::{Nest, Process};
use crate::patience::{eventually, until};
use crate::pod::PodSpec;

/// What stands for a pod. Under our shim it is never run, but CRI wants it to be there.
const PAUSE: &str = "pause";

const NATIVE: &str = "native = \"allow\"\n";

/// The pod network: a bridge in the nest, which is the node.
const NETWORK: &str = r#"{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [{
    "type": "bridge",
    "bridge": "pods0",
    "isGateway": true,
    "ipam": {
      "type": "host-local",
      "dataDir": "/run/addresses",
      "ranges": [[{"subnet": "10.88.0.0/24"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}"#;

/// containerd 2.x reads the tables of 1.7 as well. Root without CAP_SYS_RESOURCE cannot lower an OOM score.
///
/// `configs` has the folder of each handler's node config, but for that of `run`, which is the node's own. `sandboxer` is a
/// line of each handler's table.
fn tables(plugins: &Path, networks: &Path, configs: &Path, sandboxer: &str) -> String {
    let mut tables = format!(
        r#"[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "localhost/{PAUSE}:1"
disable_apparmor = true
restrict_oom_score_adj = true
tolerate_missing_hugetlb_controller = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{networks}"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "run"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.run]
runtime_type = "io.containerd.run.v2"
{sandboxer}
pod_annotations = ["run.wasm/*"]
container_annotations = ["io.kubernetes.container.*", "run.wasm/*"]
"#,
        plugins = plugins.display(),
        networks = networks.display(),
    );
    for (handler, _) in handlers() {
        tables.push_str(&format!(
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{handler}]
runtime_type = "io.containerd.run.v2"
{sandboxer}
pod_annotations = ["run.wasm/*"]
container_annotations = ["io.kubernetes.container.*", "run.wasm/*"]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{handler}.options]
ConfigPath = "{config}"
"#,
            config = configs.join(handler).display(),
        ));
    }
    tables
}

/// The handlers beside `run`, each with its node config.
fn handlers() -> [(&'static str, String); 3] {
    [("run-shared", mode::shared("")), ("native", NATIVE.to_owned()), ("native-shared", mode::shared(NATIVE))]
}

/// Where the node config of a handler is.
fn config_of(nest: &Nest, handler: &str) -> PathBuf {
    nest.folder().join("configs").join(handler)
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    containerd: Containerd,
    cri: Cri,
}

impl Node {
    /// Sends words to a server from the node's own network; what came back.
    pub fn echo(&self, address: &str) -> Result<String> {
        let mut client = self.nest().in_network(|| TcpStream::connect(address))??;
        client.write_all(b"over and out")?;
        client.shutdown(Shutdown::Write)?;
        let mut back = String::new();
        client.read_to_string(&mut back)?;
        Ok(back)
    }

    pub fn start(version: Version) -> Result<Node> {
        let nest = Nest::new()?;
        let networks = nest.folder().join("networks");
        fs::create_dir(&networks)?;
        fs::write(networks.join("pods.conflist"), NETWORK)?;
        let configs = nest.folder().join("configs");
        fs::create_dir(&configs)?;
        for (handler, config) in handlers() {
            fs::write(config_of(&nest, handler), config)?;
        }
        let sandboxer = if version == Version::Newest { "sandboxer = \"shim\"" } else { "" };
        let tables = tables(&folder("CNI_BIN")?, &networks, &configs, sandboxer);
        let cri = Cri::new(nest.see(SOCKET))?;
        let node = Node { containerd: Containerd::start_with_cri(nest, version, &tables)?, cri };
        eventually("CRI answers", 60, || Ok(node.image_id("none").is_ok()))?;
        let pause = ImageBuilder::new().format(Format::Rootfs).rootfs_file("/pause", "", 0o755);
        node.image(PAUSE, pause.entrypoint(["/pause"]))?;
        Ok(node)
    }

    pub fn containerd(&self) -> &Containerd {
        &self.containerd
    }

    pub fn nest(&self) -> &Nest {
        self.containerd.nest()
    }

    pub fn cri(&self) -> &Cri {
        &self.cri
    }

    /// Imports an image as `localhost/<name>:1` and waits until CRI has it; the same name again is the same image.
    pub fn image(&self, name: &str, image: ImageBuilder) -> Result<String> {
        let reference = self.containerd.import(name, image)?;
        until(&format!("CRI has {reference}"), 30, || self.image_id(&reference))?;
        Ok(reference)
    }

    /// Adds to the node config of pods that may have native containers.
    pub fn configure_native(&self, tables: &str) -> Result<()> {
        let config = format!("{NATIVE}{tables}");
        fs::write(config_of(self.nest(), "native"), &config)?;
        Ok(fs::write(config_of(self.nest(), "native-shared"), mode::shared(&config))?)
    }

    /// The image of a guest of test-images.
    pub fn guest(&self, file: &str) -> Result<String> {
        self.image(file, ImageBuilder::new().wasm(file, guest(file)?))
    }

    /// The image of a native container.
    pub fn busybox(&self) -> Result<String> {
        self.image("busybox", busybox()?)
    }

    /// The id under which CRI knows an image, the digest of its config.
    pub fn image_id(&self, reference: &str) -> Result<Option<String>> {
        let status: ImageStatusResponse = self.cri.call(Service::Image, "ImageStatus", named(reference))?;
        Ok(status.image.map(|image| image.id))
    }

    /// Pulls an image; its id.
    pub fn pull(&self, reference: &str) -> Result<String> {
        let pulled: Id = self.cri.call(Service::Image, "PullImage", named(reference))?;
        Ok(pulled.id)
    }

    /// A pod, to be described further and run.
    pub fn pod(&self, name: &str) -> PodSpec<'_> {
        PodSpec::new(self, name)
    }

    /// The stats of all containers, or of those of one pod.
    pub fn stats(&self, pod: Option<&str>) -> Result<Vec<ContainerStats>> {
        let filter = pod.map(|pod| ContainerStatsFilter { pod_sandbox_id: pod.to_owned() });
        let request = ListContainerStatsRequest { filter };
        let list: ListContainerStatsResponse =
            self.cri.call(Service::Runtime, "ListContainerStats", request)?;
        Ok(list.stats)
    }

    /// What CRI tells kubelet of a handler.
    pub fn features(&self, handler: &str) -> Result<RuntimeHandlerFeatures> {
        let status: StatusResponse = self.cri.call(Service::Runtime, "Status", Nothing {})?;
        let found = status.runtime_handlers.into_iter().find(|known| known.name == handler);
        found
            .and_then(|known| known.features)
            .with_context(|| format!("nothing is told of handler {handler}"))
    }

    /// The pods' shims, among them the manager of those in shared mode.
    pub fn shims(&self) -> Result<Vec<Process>> {
        self.nest().shims()
    }

    /// The containers' hosts.
    pub fn hosts(&self) -> Result<Vec<Process>> {
        self.nest().hosts()
    }
}

fn named(reference: &str) -> ImageRequest {
    let image = ImageSpec { image: reference.to_owned(), ..ImageSpec::default() };
    ImageRequest { image: Some(image) }
}
