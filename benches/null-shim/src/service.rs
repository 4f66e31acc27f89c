//! The task service of one container that runs nothing: at Start its line is written, and it has ended with 0.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, PoisonError};
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
use ttrpc::asynchronous::{Server, TtrpcContext};

/// What every peer's guest prints.
const LINE: &[u8] = b"hello from run-wasm\n";

/// Both generations of the task service have the same messages.
const SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];

struct NullTask {
    stdout: Mutex<String>,
    ended: watch::Sender<bool>,
    done: Notify,
}

/// Serves until containerd asks for the end.
pub fn run(listener: UnixListener) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        let task = Arc::new(NullTask {
            stdout: Mutex::default(),
            ended: watch::Sender::new(false),
            done: Notify::new(),
        });
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
        *self.stdout.lock().unwrap_or_else(PoisonError::into_inner) = request.stdout;
        Ok(CreateTaskResponse { pid: pid(), ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, _: StartRequest) -> ttrpc::Result<StartResponse> {
        let stdout = self.stdout.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut fifo =
            OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(stdout).map_err(failed)?;
        fifo.write_all(LINE).map_err(failed)?;
        self.ended.send_replace(true);
        Ok(StartResponse { pid: pid(), ..Default::default() })
    }

    async fn wait(&self, _: &TtrpcContext, _: WaitRequest) -> ttrpc::Result<WaitResponse> {
        self.ended.subscribe().wait_for(|ended| *ended).await.map_err(failed)?;
        Ok(WaitResponse { exit_status: 0, exited_at: now(), ..Default::default() })
    }

    async fn state(&self, _: &TtrpcContext, request: StateRequest) -> ttrpc::Result<StateResponse> {
        let status = if *self.ended.borrow() { Status::STOPPED } else { Status::CREATED };
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

    async fn kill(&self, _: &TtrpcContext, _: KillRequest) -> ttrpc::Result<Empty> {
        self.ended.send_replace(true);
        Ok(Empty::new())
    }

    async fn delete(&self, _: &TtrpcContext, _: DeleteRequest) -> ttrpc::Result<DeleteResponse> {
        Ok(DeleteResponse { pid: pid(), exited_at: now(), ..Default::default() })
    }

    async fn connect(&self, _: &TtrpcContext, _: ConnectRequest) -> ttrpc::Result<ConnectResponse> {
        Ok(ConnectResponse { shim_pid: pid(), task_pid: pid(), ..Default::default() })
    }

    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> ttrpc::Result<Empty> {
        self.done.notify_one();
        Ok(Empty::new())
    }
}
