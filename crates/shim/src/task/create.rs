//! From a create request to a container that is loaded and waits to be started.
//!
//! The host is born first, so that it can close its jail while containerd is asked about the image. Whatever fails
//! takes everything back: process, cgroup, streams.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex, Once};

use anyhow::{Context as _, Result};
use containerd_shim_protos::api::Mount;
use grants::{ContainerType, Grants, Policy, Volume, VolumeSource, identity};
use host::jail::Jail;
use host::protocol::Payload;
use oci_spec::runtime::Spec;
use protobuf::well_known_types::any::Any;

use super::bundle::Bundle;
use super::{Container, Task, Work, ending};
use crate::cgroup::{Cgroup, Cpuset, Limits};
use crate::containerd::Containerd;
use crate::events::Events;
use crate::host_process::{HOST, HostProcess, Refused};
use crate::mount::{Attachment, Content, Tree, attach, refuse_kernel_files, rootfs};
use crate::netns::Network;
use crate::network_files;
use crate::node_config;
use crate::stdio::{Stdio, Urls};
use crate::sysctl;
use crate::wasm::{Cache, ImageFacts, Source, facts, find};

/// What is the same for all tasks of a shim.
#[derive(Debug, Clone)]
pub struct Context {
    pub namespace: String,
    /// containerd's gRPC socket, where there is a containerd.
    pub containerd: Option<String>,
    pub events: Events,
}

/// What containerd asks for.
#[derive(Debug)]
pub struct Order {
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: Vec<Mount>,
    pub urls: Urls,
    pub options: Option<Any>,
}

/// A created task, the name of its image, its cgroups and the table of its grants.
pub struct Created {
    pub task: Arc<Task>,
    pub image: Option<String>,
    pub cgroups: Vec<PathBuf>,
    pub grants: Option<String>,
}

/// Creates a task. An error is one sentence for the person who wrote the pod.
pub async fn create(context: &Context, order: Order, bundle: &Bundle) -> Result<Created> {
    let policy = node_config::policy(order.options.as_ref())?;
    sysctl::apply(bundle)?;
    if identity::container_type(bundle.spec()) == ContainerType::Sandbox {
        let task = Task::new(order.id, order.bundle, order.urls, Work::Sandbox);
        return Ok(Created { task: Arc::new(task), image: None, cgroups: Vec::new(), grants: None });
    }
    let grants = grants::derive(bundle.spec(), &policy)?;
    tracing::info!(container = order.id, "granted: {}", grants.line());
    let network = Network::of(bundle)?;
    let cgroup = cgroup_of(bundle.spec(), &grants)?;
    let host = match HostProcess::start(HOST, &order.id, cgroup.as_ref(), &network) {
        Ok(host) => host,
        Err(error) => {
            take_back(None, cgroup).await;
            return Err(error);
        }
    };
    let loaded = tokio::try_join!(
        load(context, &order, bundle, &policy, &grants, &network, &host),
        register(cgroup.as_ref(), &host),
    );
    match loaded {
        Ok(((stdio, image), ())) => {
            let cgroups = cgroup.as_ref().map(|cgroup| cgroup.dirs().to_owned()).unwrap_or_default();
            let container = Container {
                host,
                cgroup: Mutex::new(cgroup),
                stdio: Mutex::new(Some(stdio)),
                unread: Mutex::new(None),
                termination_message: grants.termination_message().map(PathBuf::from),
                ended_by: AtomicI32::new(0),
            };
            let task =
                Arc::new(Task::new(order.id, order.bundle, order.urls, Work::Container(Box::new(container))));
            tokio::spawn(ending::watch(task.clone(), context.events.clone()));
            Ok(Created { task, image, cgroups, grants: Some(grants.table()) })
        }
        Err(error) => {
            take_back(Some(&host), cgroup).await;
            Err(error)
        }
    }
}

async fn register(cgroup: Option<&Cgroup>, host: &HostProcess) -> Result<()> {
    match cgroup {
        Some(cgroup) => cgroup.register(host.pid()).await,
        None => Ok(()),
    }
}

async fn take_back(host: Option<&HostProcess>, cgroup: Option<Cgroup>) {
    if let Some(host) = host {
        host.end().await;
    }
    if let Some(cgroup) = cgroup {
        cgroup.remove().await;
    }
}

async fn load(
    context: &Context,
    order: &Order,
    bundle: &Bundle,
    policy: &Policy,
    grants: &Grants,
    network: &Network,
    host: &HostProcess,
) -> Result<(Stdio, Option<String>)> {
    let jail = jail_of(bundle.spec(), policy, grants);
    let ((), look) = tokio::try_join!(
        async {
            let missing = host.enter(jail, network).await?;
            if !missing.is_empty() {
                // A kernel is the same for all containers of a pod: said once.
                static SAID: Once = Once::new();
                SAID.call_once(|| {
                    tracing::warn!(missing = missing.join(", "), "this kernel lacks parts of the jail")
                });
            }
            Ok(())
        },
        Look::up(context, &order.id, identity::image_name(bundle.spec()))
    )?;
    let stdio = Stdio::open(&order.urls, &order.id, &context.namespace).await?;
    let root = match &look.facts {
        // Nothing but Wasm: the guest's root is empty, and no mount is needed for it.
        Some(facts) if !facts.has_rootfs => None,
        _ => Some(rootfs(&order.rootfs, &bundle.rootfs())?),
    };
    let source = find(look.facts.as_ref(), root.as_ref(), grants)?;
    let cache = Cache::of(policy);
    let code = cache.get(&source, grants.profile(), look.containerd.as_ref()).await?;
    attach(
        host.mount_namespace()?,
        order.id.clone(),
        Tree::code(code.as_fd())?,
        root,
        grants.root().readonly,
        grants.volumes().iter().map(volume).collect::<Result<_>>()?,
    )?;
    refuse_kernel_files(host.pid(), &order.id, grants.volumes())?;
    launch(host, &order.id, grants, &stdio, &cache, &source).await?;
    Ok((stdio, look.image))
}

/// What containerd says about the container's image.
struct Look {
    containerd: Option<Containerd>,
    image: Option<String>,
    facts: Option<ImageFacts>,
}

impl Look {
    async fn up(context: &Context, id: &str, asked_for: Option<&str>) -> Result<Look> {
        let Some(address) = &context.containerd else {
            return Ok(Look { containerd: None, image: None, facts: None });
        };
        let containerd = Containerd::connect(address, &context.namespace).await?;
        let origin = containerd.origin_of(id).await?;
        let facts = match &origin {
            Some(origin) => {
                // containerd 1.7 puts into the spec whichever name it knows the image's config by.
                let asked_for = origin.asked_for.as_deref().or(asked_for);
                Some(facts(&containerd, &origin.image, asked_for).await?)
            }
            None => None,
        };
        Ok(Look { containerd: Some(containerd), image: origin.map(|origin| origin.image.name), facts })
    }
}

async fn launch(
    host: &HostProcess,
    id: &str,
    grants: &Grants,
    stdio: &Stdio,
    cache: &Cache,
    source: &Source,
) -> Result<()> {
    let payload = serialised(&Payload { grants, names: network_files::names(grants)? })?;
    let roots = network_files::roots(grants);
    match host.launch(id, payload.as_fd(), stdio.guest(), roots.as_ref().map(AsFd::as_fd)).await {
        Ok(()) => Ok(()),
        Err(Refused::Stale(reason)) => {
            // The next create compiles anew; this one's host has the stale file mounted.
            cache.forget(source, grants.profile())?;
            anyhow::bail!("the cached code did not fit this engine and was removed, try again: {reason}")
        }
        Err(refused) => Err(refused.into()),
    }
}

fn serialised(payload: &Payload<&Grants>) -> Result<OwnedFd> {
    let memfd = rustix::fs::memfd_create("payload", rustix::fs::MemfdFlags::CLOEXEC)
        .context("no memory for the grants")?;
    let mut file = std::fs::File::from(memfd);
    serde_json::to_writer(std::io::BufWriter::new(&file), payload)?;
    std::io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

fn volume(volume: &Volume) -> Result<Attachment> {
    let (tree, folder) = match &volume.source {
        VolumeSource::Bind { path, recursive } => {
            let folder = std::fs::metadata(path)
                .with_context(|| format!("the volume {} does not exist", path.display()))?
                .is_dir();
            (Tree::bind(path, *recursive)?, folder)
        }
        VolumeSource::Tmpfs(tmpfs) => {
            let place = || format!("cannot make the tmpfs at {}", volume.destination.display());
            (Tree::tmpfs(tmpfs).with_context(place)?, true)
        }
    };
    if volume.readonly {
        tree.close()?;
    }
    let content = if folder { Content::Folder(tree) } else { Content::File(tree) };
    Ok(Attachment { destination: volume.destination.clone(), content })
}

fn cgroup_of(spec: &Spec, grants: &Grants) -> Result<Option<Cgroup>> {
    let linux = spec.linux().as_ref();
    let Some(path) =
        linux.and_then(|linux| linux.cgroups_path().as_ref()).filter(|path| !path.as_os_str().is_empty())
    else {
        return Ok(None);
    };
    let path = path.to_str().context("linux.cgroupsPath of the spec is not UTF-8")?;
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    let cpu = resources.and_then(|resources| resources.cpu().as_ref());
    let limits = Limits {
        memory: grants.memory_limit(),
        cpu: grants.cpu(),
        cpuset: cpu.map(Cpuset::of).transpose()?.unwrap_or_default(),
        pids: resources.and_then(|resources| resources.pids().as_ref()).map(|pids| pids.limit()),
        unified: resources
            .and_then(|resources| resources.unified().as_ref())
            .map(|unified| unified.iter().map(|(file, value)| (file.clone(), value.clone())).collect())
            .unwrap_or_default(),
    };
    Cgroup::create(path, &limits).map(Some)
}

fn jail_of(spec: &Spec, policy: &Policy, grants: &Grants) -> Jail {
    let user = grants.user();
    Jail {
        uid: user.uid,
        gid: user.gid,
        groups: user.additional_gids.clone(),
        umask: Some(user.umask),
        network: grants.uses_network(),
        open_files: grants.open_files(),
        oom_score_adj: spec.process().as_ref().and_then(|process| process.oom_score_adj()),
        require: policy.jail.require.iter().map(ToString::to_string).collect(),
        compiler: false,
        memory: None,
    }
}
