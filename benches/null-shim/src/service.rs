//! The task service of containers that run nothing: at Start the line is written, and the container has ended with 0; those of a
//! pod stay until they are killed.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, Result};
use async_trait::async_trait;
use containerd_shim_protos::api::{
    ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse, DeleteRequest, DeleteResponse,
    Empty, KillRequest, PidsRequest, PidsResponse, ProcessInfo, ShutdownRequest, StartRequest, StartResponse,
    StateRequest, StateResponse, Status, WaitRequest, WaitResponse,
};
use containerd_shim_protos::shim_async::{Task, create_task};
use protobuf::MessageField;
use protobuf::well_known_types::timestamp::Timestamp;
use tokio::sync::{Notify, watch};
use ttrpc::Code;
use ttrpc::asynchronous::{Server, TtrpcContext};

/// What every peer's guest prints.
const LINE: &[u8] = b"hello from run-wasm\n";

/// Both generations of the task service have the same messages.
const SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];

/// A container that exists by name alone.
struct Container {
    stdout: String,
    /// It runs until it is killed, as what is of a pod does; any other has ended when it has started.
    of_pod: bool,
    status: watch::Sender<Status>,
}

#[derive(Default)]
struct NullTask {
    containers: Mutex<HashMap<String, Arc<Container>>>,
    done: Notify,
}

impl NullTask {
    fn containers(&self) -> MutexGuard<'_, HashMap<String, Arc<Container>>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn container(&self, id: &str) -> ttrpc::Result<Arc<Container>> {
        let missing =
            || ttrpc::Error::RpcStatus(ttrpc::get_status(Code::NOT_FOUND, format!("no container {id}")));
        self.containers().get(id).cloned().ok_or_else(missing)
    }
}

/// Serves until containerd asks for the end.
pub fn run(listener: UnixListener) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        let task = Arc::new(NullTask::default());
        let mut server = Server::new().add_listener(listener.into());
        for name in SERVICES {
            let methods = create_task(task.clone()).into_values();
            server = server.register_service(methods.map(|methods| (name.to_owned(), methods)).collect());
        }
        server.start().await.context("cannot serve the task service")?;
        task.done.notified().await;
        server.shutdown().await.context("cannot stop serving")
    })
}

fn pid() -> u32 {
    std::process::id()
}

fn now() -> MessageField<Timestamp> {
    MessageField::some(SystemTime::now().into())
}

fn failed(error: impl ToString) -> ttrpc::Error {
    ttrpc::Error::Others(error.to_string())
}

#[async_trait]
impl Task for NullTask {
    async fn create(
        &self,
        _: &TtrpcContext,
        request: CreateTaskRequest,
    ) -> ttrpc::Result<CreateTaskResponse> {
        let mut containers = self.containers();
        // The sandbox of a pod has no output, and containers beside another are those of a pod.
        let of_pod = request.stdout.is_empty() || !containers.is_empty();
        let status = watch::Sender::new(Status::CREATED);
        containers.insert(request.id, Arc::new(Container { stdout: request.stdout, of_pod, status }));
        Ok(CreateTaskResponse { pid: pid(), ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, request: StartRequest) -> ttrpc::Result<StartResponse> {
        let container = self.container(&request.id)?;
        if !container.stdout.is_empty() {
            let mut fifo = OpenOptions::new();
            let fifo = fifo.write(true).custom_flags(libc::O_NONBLOCK).open(&container.stdout);
            fifo.and_then(|mut fifo| fifo.write_all(LINE)).map_err(failed)?;
        }
        container.status.send_replace(if container.of_pod { Status::RUNNING } else { Status::STOPPED });
        Ok(StartResponse { pid: pid(), ..Default::default() })
    }

    async fn wait(&self, _: &TtrpcContext, request: WaitRequest) -> ttrpc::Result<WaitResponse> {
        let container = self.container(&request.id)?;
        let mut status = container.status.subscribe();
        status.wait_for(|status| *status == Status::STOPPED).await.map_err(failed)?;
        Ok(WaitResponse { exit_status: 0, exited_at: now(), ..Default::default() })
    }

    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> ttrpc::Result<StateResponse> {
        let status = *self.container(&request.id)?.status.borrow();
        Ok(StateResponse {
            id: request.id,
            pid: pid(),
            status: status.into(),
            exited_at: now(),
            ..Default::default()
        })
    }

    async fn pids(&self, _: &TtrpcContext, _: PidsRequest) -> ttrpc::Result<PidsResponse> {
        let process = ProcessInfo { pid: pid(), ..Default::default() };
        Ok(PidsResponse { processes: vec![process], ..Default::default() })
    }

    async fn kill(&self, _: &TtrpcContext, request: KillRequest) -> ttrpc::Result<Empty> {
        self.container(&request.id)?.status.send_replace(Status::STOPPED);
        Ok(Empty::new())
    }

    async fn delete(&self, _: &TtrpcContext, request: DeleteRequest) -> ttrpc::Result<DeleteResponse> {
        self.containers().remove(&request.id);
        Ok(DeleteResponse { pid: pid(), exited_at: now(), ..Default::default() })
    }

    async fn connect(&self, _: &TtrpcContext, _: ConnectRequest) -> ttrpc::Result<ConnectResponse> {
        Ok(ConnectResponse { shim_pid: pid(), task_pid: pid(), ..Default::default() })
    }

    /// containerd asks for it after each container.
    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> ttrpc::Result<Empty> {
        if self.containers().is_empty() {
            self.done.notify_one();
        }
        Ok(Empty::new())
    }
}
