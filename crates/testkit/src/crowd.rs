//! Many containers of one kind at once, by containerd's own calls: `ctr` would take longer than all that it asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result};
use containerd_client::services::v1::{
    Container, CreateContainerRequest, CreateTaskRequest, DeleteContainerRequest, DeleteTaskRequest,
    GetContainerRequest, KillRequest, ListTasksRequest, StartRequest, WaitRequest,
};
use containerd_client::types::v1::Status;
use containerd_client::{Client, connect};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request};

use crate::containerd::{Containerd, SOCKET, lock};
use crate::patience::here;

/// How long one answer may take, in seconds.
const PATIENCE: u64 = 120;

/// How many of a crowd are started or removed at once.
const AT_ONCE: usize = 8;

/// What all of a crowd have in common: what [`crate::Run::crowd`] was asked on.
#[derive(Debug)]
pub struct Crowd<'a> {
    daemon: &'a Containerd,
    record: Container,
    spec: Value,
}

/// One of a crowd, before it is there.
#[derive(Debug, Clone)]
pub struct Member {
    id: String,
    uid: u32,
    args: Vec<String>,
    output: Option<PathBuf>,
}

/// How far a task has come, as containerd has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Created,
    Running,
    /// With this exit code.
    Stopped(u32),
    Unknown,
}

impl Member {
    pub fn new(id: impl Into<String>) -> Member {
        Member { id: id.into(), uid: 0, args: Vec::new(), output: None }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// What follows the program's name in argv.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Member {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// User and group.
    pub fn user(mut self, uid: u32) -> Member {
        self.uid = uid;
        self
    }

    /// Where its stdout and stderr go, a file.
    pub fn output(mut self, file: &Path) -> Member {
        self.output = Some(file.to_owned());
        self
    }
}

impl<'a> Crowd<'a> {
    /// From the record of a container that `ctr` has made and that has no task.
    pub(crate) fn like(daemon: &'a Containerd, id: &str) -> Result<Crowd<'a>> {
        let caller = Caller::of(daemon)?;
        let get = caller.request(GetContainerRequest { id: id.to_owned() });
        let record = caller.tokio.block_on(async {
            anyhow::Ok(caller.connected().await?.containers().get(get).await?.into_inner().container)
        });
        // A pure Wasm image has no layers: there is nothing to mount.
        let record = Container {
            snapshotter: String::new(),
            snapshot_key: String::new(),
            ..record?.context("containerd sent no container")?
        };
        let spec = record.spec.as_ref().context("the container has no spec")?;
        let spec = serde_json::from_slice(&spec.value).context("the container's spec is no JSON")?;
        Ok(Crowd { daemon, record, spec })
    }

    /// Whoever calls containerd on its own: each has a connection of its own.
    pub fn caller(&self) -> Result<Caller> {
        Caller::of(self.daemon)
    }

    /// Starts all of them, some at once.
    pub fn start(&self, members: &[Member]) -> Result<()> {
        self.each(members, |caller, member| {
            self.create(caller, member)?;
            caller.start(&member.id)
        })
    }

    /// Kills and removes all of them, some at once. Those that have no task any more are removed as well.
    pub fn remove(&self, members: &[Member]) -> Result<()> {
        self.each(members, |caller, member| {
            if caller.kill(&member.id, Signal::KILL.as_raw().unsigned_abs()).is_ok() {
                caller.wait(&member.id)?;
            }
            caller.delete(&member.id).map(drop)
        })
    }

    fn each(&self, members: &[Member], act: impl Fn(&Caller, &Member) -> Result<()> + Sync) -> Result<()> {
        let queue = Mutex::new(members.iter());
        let work = || -> Result<()> {
            let caller = self.caller()?;
            loop {
                let Some(member) = lock(&queue).next() else { return Ok(()) };
                act(&caller, member)?;
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a caller panicked"))?)
        })
    }

    /// Creates a container and its task.
    pub fn create(&self, caller: &Caller, member: &Member) -> Result<()> {
        let id = &member.id;
        let mut record = Container { id: id.clone(), ..self.record.clone() };
        if let Some(any) = &mut record.spec {
            any.value = self.spec(member)?.to_string().into_bytes();
        }
        caller.enter(record).with_context(|| format!("the container {id}"))?;
        let created = caller.create(id, member.output.as_deref());
        if created.is_err() {
            caller.strike(id)?;
        }
        created.with_context(|| format!("the task {id}"))
    }

    fn spec(&self, member: &Member) -> Result<Value> {
        let mut spec = self.spec.clone();
        let at = |spec: &'_ mut Value, place: &str, value: Value| -> Result<()> {
            *spec.pointer_mut(place).with_context(|| format!("the spec has no {place}"))? = value;
            Ok(())
        };
        let program = spec.pointer("/process/args/0").cloned().context("the spec has no program")?;
        let args = std::iter::once(program).chain(member.args.iter().map(|arg| json!(arg))).collect();
        at(&mut spec, "/process/args", Value::Array(args))?;
        at(&mut spec, "/process/user", json!({"uid": member.uid, "gid": member.uid}))?;
        let cgroup = format!("/{}/{}", self.daemon.nest().name(), member.id);
        at(&mut spec, "/linux/cgroupsPath", json!(cgroup))?;
        Ok(spec)
    }
}

/// Calls containerd as a client does, one call at a time.
#[derive(Debug)]
pub struct Caller {
    tokio: Runtime,
    socket: PathBuf,
    namespace: MetadataValue<Ascii>,
}

impl Caller {
    fn of(daemon: &Containerd) -> Result<Caller> {
        Ok(Caller {
            tokio: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            socket: daemon.nest().see(SOCKET),
            namespace: daemon.nest().name().parse().context("the namespace is no header value")?,
        })
    }

    /// Anew for every call: containerd may have been restarted in between.
    async fn connected(&self) -> Result<Client> {
        Ok(connect(&self.socket).await.context("cannot reach containerd")?.into())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        request.set_timeout(Duration::from_secs(here(PATIENCE)));
        request
    }

    fn enter(&self, record: Container) -> Result<()> {
        let create = self.request(CreateContainerRequest { container: Some(record) });
        self.tokio
            .block_on(async { Ok(self.connected().await?.containers().create(create).await.map(drop)?) })
    }

    fn strike(&self, id: &str) -> Result<()> {
        let delete = self.request(DeleteContainerRequest { id: id.to_owned() });
        self.tokio
            .block_on(async { Ok(self.connected().await?.containers().delete(delete).await.map(drop)?) })
    }

    fn create(&self, id: &str, output: Option<&Path>) -> Result<()> {
        let output = output.map(|file| format!("file://{}", file.display())).unwrap_or_default();
        let create = self.request(CreateTaskRequest {
            container_id: id.to_owned(),
            stdout: output.clone(),
            stderr: output,
            ..CreateTaskRequest::default()
        });
        self.tokio.block_on(async { Ok(self.connected().await?.tasks().create(create).await.map(drop)?) })
    }

    /// Starts a created task.
    pub fn start(&self, id: &str) -> Result<()> {
        let start = self.request(StartRequest { container_id: id.to_owned(), ..StartRequest::default() });
        self.tokio.block_on(async { Ok(self.connected().await?.tasks().start(start).await.map(drop)?) })
    }

    pub fn kill(&self, id: &str, signal: u32) -> Result<()> {
        let kill = KillRequest { container_id: id.to_owned(), signal, ..KillRequest::default() };
        let kill = self.request(kill);
        self.tokio.block_on(async { Ok(self.connected().await?.tasks().kill(kill).await.map(drop)?) })
    }

    /// Waits for a task's end; its exit code.
    pub fn wait(&self, id: &str) -> Result<u32> {
        let wait = self.request(WaitRequest { container_id: id.to_owned(), ..WaitRequest::default() });
        self.tokio.block_on(async {
            Ok(self.connected().await?.tasks().wait(wait).await?.into_inner().exit_status)
        })
    }

    /// Removes an ended or never started task, and its container; the exit code. A task that is gone is no error.
    pub fn delete(&self, id: &str) -> Result<Option<u32>> {
        let delete = self.request(DeleteTaskRequest { container_id: id.to_owned() });
        let deleted = self.tokio.block_on(async {
            match self.connected().await?.tasks().delete(delete).await {
                Ok(answer) => Ok(Some(answer.into_inner().exit_status)),
                Err(status) if status.code() == Code::NotFound => Ok(None),
                Err(status) => Err(anyhow::Error::from(status)),
            }
        });
        let code = deleted.with_context(|| format!("cannot delete the task {id}"))?;
        self.strike(id).with_context(|| format!("cannot delete the container {id}"))?;
        Ok(code)
    }

    /// All tasks.
    pub fn tasks(&self) -> Result<BTreeMap<String, State>> {
        let list = self.request(ListTasksRequest::default());
        let tasks = self.tokio.block_on(async {
            anyhow::Ok(self.connected().await?.tasks().list(list).await?.into_inner().tasks)
        })?;
        let state = |status: i32, code: u32| match Status::try_from(status) {
            Ok(Status::Created) => State::Created,
            Ok(Status::Running) => State::Running,
            Ok(Status::Stopped) => State::Stopped(code),
            _ => State::Unknown,
        };
        Ok(tasks.into_iter().map(|task| (task.id, state(task.status, task.exit_status))).collect())
    }
}
