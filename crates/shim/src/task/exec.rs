//! One more process in a container (`kubectl exec`): a fresh instance of the container's component, or of other Wasm of its
//! files, with arguments of its own and the container's grants.
//!
//! In normal mode it has a host of its own in the container's cgroup and namespaces, in shared mode a seat beside the
//! container's. The container's end is its end, too.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use containerd_shim_protos::api::StateResponse;
use containerd_shim_protos::events::task::{TaskExecStarted, TaskExit};
use containerd_shim_protos::topics::{TASK_EXEC_STARTED_EVENT_TOPIC, TASK_EXIT_EVENT_TOPIC};
use grants::Grants;
use host::jail::Sockets;
use host::protocol::{Place, Role, container_dir};
use image::WasmImage;
use oci_spec::runtime::Process;

use super::bundle::Bundle;
use super::container::lock;
use super::create;
use super::look::Look;
use super::progress::{End, Phase, Progress};
use super::{Container, Context, Guest, Home, Program, Task, Work};
use crate::error::Error;
use crate::events::{Events, timestamp};
use crate::host_process::{HOST, HostProcess};
use crate::mount::{Tree, attach_code, detach};
use crate::native;
use crate::netns::Network;
use crate::node_config;
use crate::observe;
use crate::stdio::{Stdio, Urls};
use crate::wasm::{Cache, Code, find};

/// Should the container's memory not suffice for all of its processes, the kernel ends one that was executed in it before the
/// container itself.
const SOONER: i32 = 100;
const SOONEST: i32 = 1000;

/// What was started, in the way of its container.
#[derive(Debug)]
enum Running {
    Guest(Guest),
    Native(native::Process),
}

impl Running {
    fn program(&self) -> Program<'_> {
        match self {
            Running::Guest(guest) => Program::Guest(guest),
            Running::Native(process) => Program::Native(process),
        }
    }
}

/// A process of a container besides its first.
#[derive(Debug)]
pub struct Exec {
    /// containerd's, one in its task.
    pub id: String,
    pub urls: Urls,
    /// The `process` of a runtime spec, as it came.
    spec: Vec<u8>,
    process: Process,
    pub(super) progress: Progress,
    running: OnceLock<Running>,
    /// Where Wasm of its own is attached in its container's host, to be taken away with it.
    attached: OnceLock<String>,
}

impl Exec {
    /// `spec` is the `process` of an OCI runtime spec, as JSON.
    pub fn new(id: String, spec: &[u8], urls: Urls) -> Result<Exec, Error> {
        let process = serde_json::from_slice(spec)
            .map_err(|error| Error::InvalidArgument(format!("the process of the exec {id}: {error}")))?;
        let (running, attached) = (OnceLock::new(), OnceLock::new());
        Ok(Exec { id, urls, spec: spec.to_owned(), process, progress: Progress::new(), running, attached })
    }

    pub fn phase(&self) -> Phase {
        self.progress.phase()
    }

    /// 0 until it is started.
    pub fn pid(&self) -> u32 {
        self.running.get().map_or(0, |running| running.program().pid())
    }

    /// Whether its pid is that of a process of its.
    pub fn has_process(&self) -> bool {
        match self.running.get() {
            Some(Running::Guest(guest)) => guest.home.folder().is_ok(),
            Some(Running::Native(_)) => true,
            None => false,
        }
    }

    pub async fn ended(&self) -> End {
        self.progress.ended().await
    }

    /// What it runs as, once it runs.
    ///
    /// # Errors
    /// It was not started yet.
    pub fn program(&self) -> Result<Program<'_>, Error> {
        let running = self.running.get().map(Running::program);
        running
            .ok_or_else(|| Error::FailedPrecondition(format!("the process {} was not started yet", self.id)))
    }

    /// The answer to `State`.
    pub fn state(&self, task: &Task) -> StateResponse {
        StateResponse { exec_id: self.id.clone(), ..task.state_of(&self.urls, self.pid(), self.phase()) }
    }

    /// Takes away what is left of it.
    pub async fn clean(&self, task: &Task) {
        if let Ok(program) = self.program() {
            program.clean().await;
        }
        let (Some(place), Work::Container(container)) = (self.attached.get(), &task.work) else { return };
        let Home::Own(host) = &container.guest.home else { return };
        let _turn = host.mounting().await;
        // Gone with a host that is gone.
        if let Ok(namespace) = host.mount_namespace()
            && let Err(error) = detach(namespace, place.clone()).await
        {
            tracing::warn!(
                error = format!("{error:#}"),
                "the code of an exec stays mounted in its container's host"
            );
        }
    }
}

/// Starts a process in a running container.
///
/// # Errors
/// What a create says of the same; the container does not run, or stands still. Then the process has ended, with 127.
pub async fn start(context: &Context, task: &Arc<Task>, exec: &Arc<Exec>) -> Result<(), Error> {
    if task.phase() != Phase::Running {
        return Err(Error::FailedPrecondition(format!("the task {} does not run", task.id)));
    }
    if task.is_paused() {
        return Err(Error::FailedPrecondition(format!("the task {} is paused: resume it first", task.id)));
    }
    if !exec.progress.begin() {
        return Err(Error::FailedPrecondition(format!("the process {} was started before", exec.id)));
    }
    let loaded = match &task.work {
        Work::Sandbox => Err(anyhow::anyhow!("nothing runs in a sandbox")),
        Work::Container(container) => {
            Plan { context, task, container, exec }.load().await.map(Running::Guest)
        }
        Work::Native(native) => {
            native.exec(&task.id, &exec.spec, &exec.urls, &task.namespace).await.map(Running::Native)
        }
    };
    let running = match loaded {
        Ok(running) => running,
        Err(error) => {
            exec.progress.finish(End { code: NOT_RUN, at: SystemTime::now() });
            return Err(error.into());
        }
    };
    let event = TaskExecStarted {
        container_id: task.id.clone(),
        exec_id: exec.id.clone(),
        pid: running.program().pid(),
        ..TaskExecStarted::default()
    };
    let running = exec.running.get_or_init(|| running);
    context.events.publish(&task.namespace, TASK_EXEC_STARTED_EVENT_TOPIC, &event);
    let run = match running {
        Running::Guest(guest) => guest.run(&exec.id),
        // It runs since the runtime has made it.
        Running::Native(_) => Ok(()),
    };
    if run.is_err() || task.is_closing() {
        running.program().kill();
    }
    let watch = watch(task.clone(), exec.clone(), context.events.clone());
    tokio::spawn(observe::resume(task.subject.clone(), watch));
    Ok(run?)
}

/// What a shell says of a command that could not be run.
const NOT_RUN: u32 = 127;

async fn watch(task: Arc<Task>, exec: Arc<Exec>, events: Events) {
    let Some(running) = exec.running.get() else { return };
    let (code, reason) = match (running, &task.work) {
        (Running::Guest(guest), Work::Container(container)) => {
            let exit = guest.exit(container).await;
            (u32::from(exit.code), exit.reason)
        }
        (Running::Native(process), _) => (process.code().await, None),
        (Running::Guest(_), _) => return,
    };
    running.program().close().await;
    let at = SystemTime::now();
    tracing::debug!(exec = exec.id, code, reason = reason.as_deref().unwrap_or(""), "exec ended");
    if exec.progress.finish(End { code, at }) {
        let event = TaskExit {
            container_id: task.id.clone(),
            id: exec.id.clone(),
            pid: running.program().pid(),
            exit_status: code,
            exited_at: timestamp(at),
            ..TaskExit::default()
        };
        events.publish(&task.namespace, TASK_EXIT_EVENT_TOPIC, &event);
    }
}

struct Plan<'a> {
    context: &'a Context,
    task: &'a Task,
    container: &'a Container,
    exec: &'a Exec,
}

impl Plan<'_> {
    async fn load(&self) -> Result<Guest> {
        let grants = self.container.grants().for_exec(&self.exec.process)?;
        let policy = node_config::policy(self.container.options.as_ref())?;
        let bundle = Bundle::read(&self.task.bundle)?;
        let home = match &self.container.guest.home {
            Home::Own(host) => Home::Own(self.host_beside(host, &bundle, &grants, &policy).await?),
            Home::Shared(seat) => {
                Home::Shared(seat.beside().context("the container's host is full, or at its end: try again")?)
            }
        };
        let launched = tokio::select! {
            launched = self.launch(&home, &bundle, &grants, &policy) => launched,
            // It may have to wait for long, as for a compiler or a registry; the container's end does not.
            () = self.task.closing() => Err(anyhow::anyhow!("the container has ended")),
        };
        match launched {
            Ok(stdio) => Ok(Guest::new(home, stdio)),
            Err(error) => {
                home.end().await;
                Err(error)
            }
        }
    }

    /// A host in the container's cgroup, network and mounts.
    async fn host_beside(
        &self,
        container: &HostProcess,
        bundle: &Bundle,
        grants: &Grants,
        policy: &grants::Policy,
    ) -> Result<HostProcess> {
        let ended = "the container has ended";
        let network = Network::Pod(container.network_namespace().context(ended)?);
        let mounts = container.mount_namespace().context(ended)?;
        let host = {
            let cgroup = lock(&self.container.cgroup);
            // What `ps` on the node shows.
            let name = format!("{}/{}", self.task.id, self.exec.id);
            HostProcess::start(HOST, &name, cgroup.as_ref(), &network)?
        };
        let sockets = if grants.uses_network() { Sockets::Own } else { Sockets::None };
        let mut jail = create::jail(grants, bundle, policy, sockets, grants.open_files());
        jail.oom_score_adj = Some(jail.oom_score_adj.unwrap_or(0).saturating_add(SOONER).min(SOONEST));
        match host.enter(jail, &network, Some(mounts.as_fd()), Role::Alone, None).await {
            Ok(_) => Ok(host),
            Err(error) => {
                host.end().await;
                Err(error)
            }
        }
    }

    async fn launch(
        &self,
        home: &Home,
        bundle: &Bundle,
        grants: &Grants,
        policy: &grants::Policy,
    ) -> Result<Stdio> {
        let place = match grants.entry().path == self.container.grants().entry().path {
            true => self.container.place.clone(),
            false => self.other_wasm(grants, policy).await?,
        };
        let stdio = Stdio::open(&self.exec.urls, &self.task.id, &self.task.namespace).await?;
        if create::launch(home, &self.exec.id, place, grants, bundle, &stdio).await? {
            bail!(
                "the Wasm serves HTTP, and an exec runs commands: name one, or a function, as `/path.wasm#function` does"
            );
        }
        Ok(stdio)
    }

    /// Wasm of the container's image or files that is not what it was started with.
    async fn other_wasm(&self, grants: &Grants, policy: &grants::Policy) -> Result<Place> {
        let look = Look::up(&self.context.containerd, &self.task.namespace, &self.task.id, None).await?;
        // The image's name may lead elsewhere by now.
        let is_under_a_rule = self.context.signatures.require(policy, look.candidate()).await?;
        if is_under_a_rule && look.facts().is_none_or(|facts| facts.wasm == WasmImage::None) {
            bail!(
                "require-signature of the node config is about the container's image, and who signed it did not see what is among the \
                 container's files by now, volumes included: pack {} as a Wasm layer of the image, or as an image of its own",
                grants.entry().path.display()
            );
        }
        let root = self.root()?;
        let source = find(look.facts(), Some(root.as_fd()), grants)?;
        let build = host::engine::Build::of(grants);
        let code = Cache::of(policy).get(&source, build, look.containerd.as_deref()).await?;
        Ok(Place { code: self.attach(&code).await?, ..self.container.place.clone() })
    }

    /// The container's root, as its guests see it.
    fn root(&self) -> Result<OwnedFd> {
        let dir = container_dir(&self.container.place.root).join("root");
        let dir = dir.strip_prefix("/").unwrap_or(&dir);
        let host = self.container.guest.home.folder().context("the container has ended")?;
        Ok(File::open(host.join("root").join(dir)).context("the container has ended")?.into())
    }

    async fn attach(&self, code: &Code) -> Result<String> {
        match &self.container.guest.home {
            Home::Shared(seat) => seat.attach_code(code).await,
            Home::Own(host) => {
                static SO_FAR: AtomicU32 = AtomicU32::new(0);
                let place = format!("exec-{}", SO_FAR.fetch_add(1, Ordering::Relaxed));
                let tree = Tree::code(code.file.as_fd())?;
                if self.exec.attached.set(place.clone()).is_err() {
                    bail!("the process was started before");
                }
                let turn = host.mounting().await;
                attach_code(host.mount_namespace()?, place.clone(), tree, turn, |()| ()).await?;
                Ok(place)
            }
        }
    }
}
