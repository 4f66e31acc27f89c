//! From a create request to a container that is loaded and waits to be started.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use containerd_shim_protos::api::Mount;
use grants::{ContainerType, Grants, Mode, Policy, Tmpfs, TrustGroup, Volume, VolumeSource, identity};
use host::engine::Build;
use host::jail::{Jail, Sockets};
use host::protocol::{Payload, Place, Role};
use image::Digest;
use oci_spec::runtime::Spec;
use protobuf::well_known_types::any::Any;

use super::bundle::Bundle;
use super::look::{Look, Looks};
use super::{Container, Guest, Home, Server, Task, Work, ending};
use crate::cgroup::{Cgroup, Cpuset, Limits};
use crate::containerd::Registry;
use crate::events::Events;
use crate::group::{self, Groups};
use crate::host_process::{HOST, HostProcess, Launch, Refused};
use crate::mount::{Attachment, Content, Tree, aside, attach, refuse_kernel_files, rootfs};
use crate::native;
use crate::netns::Network;
use crate::network_files;
use crate::node_config;
use crate::observe::{self, Stage};
use crate::sandbox;
use crate::signatures::Signatures;
use crate::stdio::{Stdio, Urls};
use crate::sysctl;
use crate::wasm::{Cache, Code, Source, find};

/// What is the same for all tasks of a shim.
pub struct Context {
    pub containerd: Arc<Registry>,
    /// What containerd was asked before a container was created.
    pub looks: Looks,
    pub events: Events,
    /// containerd's, by which its containers are told from another's.
    pub address: String,
    /// Which images were found to be signed.
    pub signatures: Signatures,
    /// Pods with native containers.
    pub pods: native::Pods,
    /// The hosts that containers may share; only a manager has them.
    pub groups: Option<Arc<Groups>>,
}

/// What containerd asks for.
#[derive(Debug)]
pub struct Order {
    /// containerd's.
    pub namespace: String,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: Vec<Mount>,
    pub urls: Urls,
    pub options: Option<Any>,
}

/// A created task, the name of its image, the digest of its Wasm, its cgroups and the table of its grants.
pub struct Created {
    pub task: Arc<Task>,
    pub mode: Mode,
    pub image: Option<String>,
    pub code: Option<String>,
    pub cgroups: Vec<PathBuf>,
    pub grants: Option<String>,
    /// What it was given, in one line for the log.
    pub granted: Option<String>,
}

/// All that is known of a container before anything is made for it.
struct Plan<'a> {
    context: &'a Context,
    order: &'a Order,
    bundle: &'a Bundle,
    policy: &'a Policy,
    grants: &'a Grants,
}

/// Creates a task. An error is one sentence for the person who wrote the pod.
pub async fn create(context: &Context, order: Order, bundle: &Bundle) -> Result<Created> {
    let policy = node_config::policy(order.options.as_ref())?;
    if let Some(modes) = grants::prewarm(bundle.spec(), &policy.modes)? {
        return prewarm(context, order, bundle, &policy, modes).await;
    }
    sysctl::apply(bundle)?;
    if identity::container_type(bundle.spec()) == ContainerType::Sandbox {
        let mode = grants::mode(bundle.spec(), &policy)?;
        let task = Arc::new(Task::new(order, Work::Sandbox));
        return Ok(Created {
            task,
            mode,
            image: None,
            code: None,
            cgroups: Vec::new(),
            grants: None,
            granted: None,
        });
    }
    if let Some(found) = native::recognise(context, &order, bundle, &policy).await? {
        return native_task(context, order, bundle, &policy, found).await;
    }
    let grants = grants::derive(bundle.spec(), &policy)?;
    let mode = grants.mode();
    let plan = Plan { context, order: &order, bundle, policy: &policy, grants: &grants };
    let Loaded { home, place, cgroup, stdio, image, code, server } = match mode {
        Mode::Normal => plan.in_a_host_of_its_own().await?,
        Mode::Shared => plan.in_a_shared_host().await?,
    };
    let cgroups = cgroup.as_ref().map(|cgroup| cgroup.dirs().to_owned()).unwrap_or_default();
    let (table, granted) = (grants.table(), format!("granted: {}", grants.line()));
    let container = Container {
        guest: Guest::new(home, stdio).serving(server),
        place,
        options: order.options.clone(),
        most_memory: policy.limits.memory.map(|size| size.0),
        cgroup: Mutex::new(cgroup),
        termination_message: grants.termination_message().map(PathBuf::from),
        grants: Mutex::new(Arc::new(grants)),
        paused: AtomicBool::new(false),
        oom_kills: AtomicU64::new(0),
    };
    let task = Arc::new(Task::new(order, Work::Container(Box::new(container))));
    let watch = ending::watch(task.clone(), context.events.clone());
    tokio::spawn(observe::resume(task.subject.clone(), watch));
    let (grants, granted) = (Some(table), Some(granted));
    Ok(Created { task, mode, image, code: Some(code.to_string()), cgroups, grants, granted })
}

/// Creates the task of a native container.
async fn native_task(
    context: &Context,
    order: Order,
    bundle: &Bundle,
    policy: &Policy,
    found: native::Found,
) -> Result<Created> {
    let mode = grants::mode(bundle.spec(), policy)?;
    let image = found.image.clone();
    let native = native::create(context, &order, bundle, policy, found).await?;
    let cgroups = native.cgroups();
    let task = Arc::new(Task::new(order, Work::Native(Box::new(native))));
    let watch = ending::watch_native(task.clone(), context.events.clone());
    tokio::spawn(observe::resume(task.subject.clone(), watch));
    let granted = Some("native: what its pod gives it is its runtime's to keep".to_owned());
    Ok(Created { task, mode, image, code: None, cgroups, grants: None, granted })
}

/// How often it is looked whether an image is still to be compiled.
const LOOK: Duration = Duration::from_secs(1);

/// Compiles an image for these modes, so that the first container that runs it need not. The task is one that runs nothing.
/// Who asked may be gone, and containerd takes the bundle away then: what would be compiled for nobody ends, and its compiler
/// with it.
async fn prewarm(
    context: &Context,
    order: Order,
    bundle: &Bundle,
    policy: &Policy,
    modes: Vec<Mode>,
) -> Result<Created> {
    let grants = grants::derive(bundle.spec(), policy)?;
    let look = look(context, &order, bundle, policy).await?;
    let source = find(look.facts(), None, &grants)?;
    let compiled = async {
        for mode in modes {
            let build = Build { mode, ..Build::of(&grants) };
            Cache::of(policy).idly().get(&source, build, look.containerd.as_deref()).await?;
        }
        anyhow::Ok(())
    };
    let forgotten = async {
        while bundle.path().exists() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        compiled = compiled => compiled?,
        () = forgotten => bail!("nobody waits for it any more"),
    }
    let (image, code) = (look.image().map(str::to_owned), Some(source.digest.to_string()));
    let task = Arc::new(Task::new(order, Work::Sandbox));
    Ok(Created { task, mode: Mode::Normal, image, code, cgroups: Vec::new(), grants: None, granted: None })
}

/// What containerd says of a container's image, which is signed, if the policy wants that.
async fn look(context: &Context, order: &Order, bundle: &Bundle, policy: &Policy) -> Result<Look> {
    let look = match context.looks.take(&order.namespace, &order.id).await {
        Some(look) => look,
        None => {
            let asked_for = identity::image_name(bundle.spec());
            Look::up(&context.containerd, &order.namespace, &order.id, asked_for).await?
        }
    };
    context.signatures.require(policy, look.candidate()).await?;
    Ok(look)
}

/// A container that waits to be started.
struct Loaded {
    home: Home,
    place: Place,
    cgroup: Option<Cgroup>,
    stdio: Stdio,
    image: Option<String>,
    code: Digest,
    server: Option<Server>,
}

impl Loaded {
    fn new(home: Home, place: Place, cgroup: Option<Cgroup>, parts: Parts, server: Option<Server>) -> Loaded {
        let Parts { stdio, look, source, .. } = parts;
        Loaded {
            home,
            place,
            cgroup,
            stdio,
            image: look.image().map(str::to_owned),
            code: source.digest,
            server,
        }
    }
}

/// Code, files and streams: what a container needs wherever it runs.
struct Parts {
    look: Look,
    stdio: Stdio,
    root: Option<Tree>,
    volumes: Vec<Attachment>,
    source: Source,
    code: Code,
}

impl Plan<'_> {
    /// The host is born first, so that it can close its jail while containerd is asked about the image. Whatever fails
    /// takes everything back: process, cgroup, streams.
    async fn in_a_host_of_its_own(&self) -> Result<Loaded> {
        let network = Network::of(self.bundle)?;
        let cgroup = cgroup_of(self.bundle.spec(), self.grants)?;
        let host = match HostProcess::start(HOST, &self.order.id, cgroup.as_ref(), &network) {
            Ok(host) => host,
            Err(error) => {
                take_back(None, cgroup).await;
                return Err(error);
            }
        };
        let loaded = tokio::try_join!(self.load(&network, &host), register(cgroup.as_ref(), &host));
        match loaded {
            Ok((parts, ())) => {
                let id = &self.order.id;
                let place = Place { code: id.clone(), root: id.clone(), tag: 0 };
                let home = Home::Own(host);
                match self.launch_alone(&home, &place, &parts).await {
                    Ok(server) => Ok(Loaded::new(home, place, cgroup, parts, server)),
                    Err(error) => {
                        take_back(Some(&home), cgroup).await;
                        Err(error)
                    }
                }
            }
            Err(error) => {
                take_back(Some(&Home::Own(host)), cgroup).await;
                Err(error)
            }
        }
    }

    async fn load(&self, network: &Network, host: &HostProcess) -> Result<Parts> {
        let sockets = if self.grants.uses_network() { Sockets::Own } else { Sockets::None };
        let jail = self.jail(sockets, self.grants.open_files());
        let enter = async {
            let missing = host.enter(jail, network, None, Role::Alone, None).await?.missing;
            if !missing.is_empty() {
                // A kernel is the same for all containers of a pod: said once.
                static SAID: Once = Once::new();
                SAID.call_once(|| {
                    tracing::warn!(missing = missing.join(", "), "this kernel lacks parts of the jail")
                });
            }
            Ok(())
        };
        let ((), look) = tokio::try_join!(enter, self.look())?;
        let mut parts = self.parts(look).await?;
        let (root, volumes) = (parts.root.take(), std::mem::take(&mut parts.volumes));
        let code = Some(Tree::code(parts.code.file.as_fd())?);
        let id = self.order.id.clone();
        attach(host.mount_namespace()?, id, code, root, self.grants.root().readonly, volumes).await?;
        refuse_kernel_files(host.pid(), &self.order.id, self.grants.volumes())?;
        Ok(parts)
    }

    async fn in_a_shared_host(&self) -> Result<Loaded> {
        let groups = self.context.groups.as_ref().context(
            "this container asks for the shared mode and its pod runs in the normal one: write the annotation \
             run.wasm/mode: shared for the whole pod",
        )?;
        let spec = self.bundle.spec();
        if is_bound_to_processors(spec) {
            tracing::warn!(
                "linux.resources.cpu.cpus of the spec is without effect: a shared host runs on all processors of the node; \
                 run.wasm/mode: normal keeps to them"
            );
        }
        let guest = group::Guest {
            group: TrustGroup::of(&self.order.namespace, spec, self.grants, self.policy),
            jail: self.jail(Sockets::Asked, self.policy.shared.open_files),
            cgroups_path: cgroups_path(spec)?,
            memory: self.grants.memory_limit(),
            shares: self.grants.cpu().shares,
            idle_exit: self.policy.shared.idle_exit,
        };
        // A seat that is half taken cannot be given back: neither waits for less than the other.
        let (seat, look) = tokio::join!(groups.seat(guest), self.look());
        let home = Home::Shared(seat?);
        let taken = async { self.take_seat(&home, look?).await };
        match taken.await {
            Ok((place, parts, server)) => Ok(Loaded::new(home, place, None, parts, server)),
            Err(error) => {
                take_back(Some(&home), None).await;
                Err(error)
            }
        }
    }

    async fn take_seat(&self, home: &Home, look: Look) -> Result<(Place, Parts, Option<Server>)> {
        let Home::Shared(seat) = home else { bail!("a seat is in a shared host") };
        let mut parts = self.parts(look).await?;
        let (root, volumes) = (parts.root.take(), std::mem::take(&mut parts.volumes));
        let with_files = root.is_some() || !volumes.is_empty();
        let place = seat.attach(&parts.code, root, self.grants.root().readonly, volumes).await?;
        if with_files {
            refuse_kernel_files(seat.pid(), seat.files(), self.grants.volumes())?;
        }
        let mut netns = None;
        if self.grants.uses_network() {
            let pods = Network::of(self.bundle)?.descriptor()?;
            seat.network(pods.try_clone()?);
            netns = Some(pods);
        }
        let server = match (self.launch(home, place.clone(), &parts).await?, netns) {
            (false, _) => None,
            (true, Some(netns)) => Some(self.server(netns)),
            (true, None) => Some(self.server(Network::of(self.bundle)?.descriptor()?)),
        };
        Ok((place, parts, server))
    }

    async fn parts(&self, look: Look) -> Result<Parts> {
        let stdio = Stdio::open(&self.order.urls, &self.order.id, &self.order.namespace).await?;
        let root = match look.facts() {
            // Nothing but Wasm: the guest's root is empty, and no mount is needed for it.
            Some(facts) if !facts.has_rootfs => None,
            _ => Some(rootfs(&self.order.rootfs, &self.bundle.rootfs())?),
        };
        let source = find(look.facts(), root.as_ref().map(AsFd::as_fd), self.grants)?;
        let build = Build::of(self.grants);
        let code = Cache::of(self.policy).get(&source, build, look.containerd.as_deref()).await?;
        // No cgroup of the container's own counts what it writes into memory.
        let most = self.grants.memory_limit().filter(|_| self.grants.mode() == Mode::Shared);
        let volumes = volumes(self.grants.volumes().to_vec(), most).await?;
        Ok(Parts { look, stdio, root, volumes, source, code })
    }

    /// In a host of its own, which is in the pod's network.
    async fn launch_alone(&self, home: &Home, place: &Place, parts: &Parts) -> Result<Option<Server>> {
        Ok(match (self.launch(home, place.clone(), parts).await?, home) {
            (true, Home::Own(host)) => Some(self.server(host.network_namespace()?)),
            _ => None,
        })
    }

    fn server(&self, netns: OwnedFd) -> Server {
        Server::new(self.grants.http().port.get(), netns)
    }

    /// Returns whether the Wasm serves.
    async fn launch(&self, home: &Home, place: Place, parts: &Parts) -> Result<bool> {
        let launch = launch(home, &self.order.id, place, self.grants, self.bundle, &parts.stdio);
        match observe::stage(Stage::Instantiate, launch).await {
            Ok(serves) => Ok(serves),
            Err(Refused::Stale(reason)) => {
                // The next create compiles anew; this one's host has the stale file mounted.
                Cache::of(self.policy).forget(&parts.source, Build::of(self.grants))?;
                bail!("the cached code did not fit this engine and was removed, try again: {reason}")
            }
            Err(refused) => Err(refused.into()),
        }
    }

    async fn look(&self) -> Result<Look> {
        look(self.context, self.order, self.bundle, self.policy).await
    }

    fn jail(&self, sockets: Sockets, open_files: u64) -> Jail {
        jail(self.grants, self.bundle, self.policy, sockets, open_files)
    }
}

/// The jail of a host that runs a container with these grants.
pub(super) fn jail(
    grants: &Grants,
    bundle: &Bundle,
    policy: &Policy,
    sockets: Sockets,
    open_files: u64,
) -> Jail {
    let user = grants.user();
    Jail {
        uid: user.uid,
        gid: user.gid,
        groups: user.additional_gids.clone(),
        umask: Some(user.umask),
        sockets,
        open_files,
        oom_score_adj: bundle.spec().process().as_ref().and_then(|process| process.oom_score_adj()),
        require: policy.jail.require.iter().map(ToString::to_string).collect(),
        compiler: false,
        memory: None,
    }
}

/// Has a host load what stands at `place`. Returns whether it serves.
pub(super) async fn launch(
    home: &Home,
    id: &str,
    place: Place,
    grants: &Grants,
    bundle: &Bundle,
    stdio: &Stdio,
) -> Result<bool, Refused> {
    let own = bundle.of_the_pod(sandbox::RESOLV_CONF);
    let names = network_files::names(grants, own.as_deref())?;
    let payload = serialised(&Payload { grants, names })?;
    let roots = network_files::roots(grants);
    let launch = Launch {
        place,
        payload: payload.as_fd(),
        streams: stdio.guest(),
        roots: roots.as_ref().map(AsFd::as_fd),
        beside: None,
    };
    home.launch(id, &launch).await
}

async fn register(cgroup: Option<&Cgroup>, host: &HostProcess) -> Result<()> {
    match cgroup {
        Some(cgroup) => cgroup.register(host.pid()).await,
        None => Ok(()),
    }
}

async fn take_back(home: Option<&Home>, cgroup: Option<Cgroup>) {
    if let Some(home) = home {
        home.end().await;
    }
    if let Some(cgroup) = cgroup {
        cgroup.remove().await;
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

/// The mounts of volumes. One whose server is away does not answer before that is back: nobody else waits for it.
async fn volumes(volumes: Vec<Volume>, most: Option<u64>) -> Result<Vec<Attachment>> {
    if volumes.is_empty() {
        return Ok(Vec::new());
    }
    aside(move || volumes.iter().map(|it| volume(it, most)).collect()).await
}

/// A volume's mount. In memory it has at most so many bytes, where there is a bound.
fn volume(volume: &Volume, most: Option<u64>) -> Result<Attachment> {
    let (tree, folder) = match &volume.source {
        VolumeSource::Bind { path, recursive } => {
            let folder = std::fs::metadata(path)
                .with_context(|| format!("the volume {} does not exist", path.display()))?
                .is_dir();
            (Tree::bind(path, *recursive)?, folder)
        }
        VolumeSource::Tmpfs(tmpfs) => {
            let place = || format!("cannot make the tmpfs at {}", volume.destination.display());
            let size = tmpfs.size.into_iter().chain(most).min();
            (Tree::tmpfs(&Tmpfs { size, ..tmpfs.clone() }).with_context(place)?, true)
        }
    };
    if volume.readonly {
        tree.close()?;
    }
    let content = if folder { Content::Folder(tree) } else { Content::File(tree) };
    Ok(Attachment { destination: volume.destination.clone(), content })
}

fn is_bound_to_processors(spec: &Spec) -> bool {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let cpus = resources.and_then(|resources| resources.cpu().as_ref()).and_then(|cpu| cpu.cpus().as_ref());
    cpus.is_some_and(|cpus| !cpus.is_empty())
}

/// Where a container is counted and limited, if anywhere.
pub fn cgroups_path(spec: &Spec) -> Result<Option<&str>> {
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    path.filter(|path| !path.as_os_str().is_empty())
        .map(|path| path.to_str().context("linux.cgroupsPath of the spec is not UTF-8"))
        .transpose()
}

fn cgroup_of(spec: &Spec, grants: &Grants) -> Result<Option<Cgroup>> {
    let Some(path) = cgroups_path(spec)? else { return Ok(None) };
    let linux = spec.linux().as_ref();
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
