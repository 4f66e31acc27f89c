//! Calls of containerd as a client makes them, one at a time: `ctr` would take longer than what it asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use containerd_client::services::v1::{
    Container, CreateContainerRequest, CreateTaskRequest, DeleteContainerRequest, DeleteProcessRequest,
    DeleteTaskRequest, ExecProcessRequest, GetContainerRequest, KillRequest, ListTasksRequest,
    MetricsRequest, PauseTaskRequest, ResumeTaskRequest, StartRequest, UpdateTaskRequest, WaitRequest,
};
use containerd_client::types::v1::Status;
use containerd_client::{Client, connect};
use prost_types::Any;
use serde_json::Value;
use tokio::runtime::Runtime;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request};

use crate::containerd::{Containerd, SOCKET};
use crate::patience::here;

/// How long one answer may take, in seconds.
const PATIENCE: u64 = 120;

/// How far a task has come, as containerd has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Created,
    Running,
    Paused,
    /// With this exit code.
    Stopped(u32),
    Unknown,
}

/// A client of containerd.
#[derive(Debug)]
pub struct Caller {
    tokio: Runtime,
    socket: PathBuf,
    namespace: MetadataValue<Ascii>,
}

/// One call on the tasks service: the connection is made anew, as containerd may have been restarted in between.
macro_rules! task {
    ($self:ident.$method:ident($request:expr)) => {{
        let request = $self.request($request);
        $self.tokio.block_on(async {
            let answer = $self.connected().await?.tasks().$method(request).await;
            answer.map(tonic::Response::into_inner).map_err(anyhow::Error::from)
        })
    }};
}

impl Caller {
    pub(crate) fn of(daemon: &Containerd) -> Result<Caller> {
        Ok(Caller {
            tokio: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            socket: daemon.nest().see(SOCKET),
            namespace: daemon.nest().name().parse().context("the namespace is no header value")?,
        })
    }

    async fn connected(&self) -> Result<Client> {
        Ok(connect(&self.socket).await.context("cannot reach containerd")?.into())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        request.set_timeout(Duration::from_secs(here(PATIENCE)));
        request
    }

    /// The record of a container.
    pub(crate) fn container(&self, id: &str) -> Result<Container> {
        let get = self.request(GetContainerRequest { id: id.to_owned() });
        let record = self.tokio.block_on(async {
            anyhow::Ok(self.connected().await?.containers().get(get).await?.into_inner().container)
        });
        record?.context("containerd sent no container")
    }

    pub(crate) fn enter(&self, record: Container) -> Result<()> {
        let create = self.request(CreateContainerRequest { container: Some(record) });
        self.tokio
            .block_on(async { Ok(self.connected().await?.containers().create(create).await.map(drop)?) })
    }

    /// Removes a container that has no task.
    pub fn strike(&self, id: &str) -> Result<()> {
        let delete = self.request(DeleteContainerRequest { id: id.to_owned() });
        self.tokio
            .block_on(async { Ok(self.connected().await?.containers().delete(delete).await.map(drop)?) })
    }

    pub(crate) fn create(&self, id: &str, output: Option<&Path>) -> Result<()> {
        let output = output.map(|file| format!("file://{}", file.display())).unwrap_or_default();
        task!(self.create(CreateTaskRequest {
            container_id: id.to_owned(),
            stdout: output.clone(),
            stderr: output,
            ..CreateTaskRequest::default()
        }))
        .map(drop)
    }

    /// Starts a created task.
    pub fn start(&self, id: &str) -> Result<()> {
        task!(self.start(StartRequest { container_id: id.to_owned(), ..StartRequest::default() })).map(drop)
    }

    pub fn kill(&self, id: &str, signal: u32) -> Result<()> {
        task!(self.kill(KillRequest { container_id: id.to_owned(), signal, ..KillRequest::default() }))
            .map(drop)
    }

    /// Waits for a task's end; its exit code.
    pub fn wait(&self, id: &str) -> Result<u32> {
        let wait = WaitRequest { container_id: id.to_owned(), ..WaitRequest::default() };
        Ok(task!(self.wait(wait))?.exit_status)
    }

    pub fn pause(&self, id: &str) -> Result<()> {
        task!(self.pause(PauseTaskRequest { container_id: id.to_owned() })).map(drop)
    }

    pub fn resume(&self, id: &str) -> Result<()> {
        task!(self.resume(ResumeTaskRequest { container_id: id.to_owned() })).map(drop)
    }

    /// Gives a task other resources, `linux.resources` of an OCI spec.
    pub fn update(&self, id: &str, resources: &Value) -> Result<()> {
        let resources = any("types.containerd.io/opencontainers/runtime-spec/1/LinuxResources", resources);
        let update = UpdateTaskRequest {
            container_id: id.to_owned(),
            resources: Some(resources),
            ..UpdateTaskRequest::default()
        };
        task!(self.update(update)).map(drop)
    }

    /// Asks for a task's figures; whether there were any.
    pub fn has_metrics(&self, id: &str) -> Result<bool> {
        let metrics = MetricsRequest { filters: vec![format!("id=={id}")] };
        Ok(!task!(self.metrics(metrics))?.metrics.is_empty())
    }

    /// Runs one more process in a task to its end; its exit code.
    pub fn exec(&self, id: &str, exec: &str, process: &Value) -> Result<u32> {
        let spec = any("types.containerd.io/opencontainers/runtime-spec/1/Process", process);
        let (container_id, exec_id) = (id.to_owned(), exec.to_owned());
        task!(self.exec(ExecProcessRequest {
            container_id: container_id.clone(),
            exec_id: exec_id.clone(),
            spec: Some(spec),
            ..ExecProcessRequest::default()
        }))?;
        let start = StartRequest { container_id: container_id.clone(), exec_id: exec_id.clone() };
        let wait = WaitRequest { container_id: container_id.clone(), exec_id: exec_id.clone() };
        let ended = task!(self.start(start)).and_then(|_| Ok(task!(self.wait(wait))?.exit_status));
        let deleted = task!(self.delete_process(DeleteProcessRequest { container_id, exec_id }));
        let code = ended?;
        deleted.map(|_| code)
    }

    /// Removes an ended or never started task, and its container; the exit code. A task that is gone is no error.
    pub fn delete(&self, id: &str) -> Result<Option<u32>> {
        let delete = DeleteTaskRequest { container_id: id.to_owned() };
        let deleted = match task!(self.delete(delete)) {
            Ok(answer) => Ok(Some(answer.exit_status)),
            Err(error) if is(&error, Code::NotFound) => Ok(None),
            Err(error) => Err(error),
        };
        let code = deleted.with_context(|| format!("cannot delete the task {id}"))?;
        self.strike(id).with_context(|| format!("cannot delete the container {id}"))?;
        Ok(code)
    }

    /// All tasks.
    pub fn tasks(&self) -> Result<BTreeMap<String, State>> {
        let tasks = task!(self.list(ListTasksRequest::default()))?.tasks;
        let state = |status: i32, code: u32| match Status::try_from(status) {
            Ok(Status::Created) => State::Created,
            Ok(Status::Running) => State::Running,
            Ok(Status::Paused) => State::Paused,
            Ok(Status::Stopped) => State::Stopped(code),
            _ => State::Unknown,
        };
        Ok(tasks.into_iter().map(|task| (task.id, state(task.status, task.exit_status))).collect())
    }
}

/// Whether a call was answered with this code.
fn is(error: &anyhow::Error, code: Code) -> bool {
    error.downcast_ref::<tonic::Status>().is_some_and(|status| status.code() == code)
}

fn any(kind: &str, value: &Value) -> Any {
    Any { type_url: kind.to_owned(), value: value.to_string().into_bytes() }
}
