//! The sandbox service, for containerd 2.3 and later with `sandboxer = "shim"`: a pod without a pause container.
//!
//! A sandbox is the same task here as one that CRI makes by the task service, and its events are the same.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use containerd_shim_protos::api::{CreateTaskRequest, StartRequest, StatsRequest};
use containerd_shim_protos::sandbox_api::{
    CreateSandboxRequest, CreateSandboxResponse, PingRequest, PingResponse, PlatformRequest,
    PlatformResponse, SandboxMetricsRequest, SandboxMetricsResponse, SandboxStatusRequest,
    SandboxStatusResponse, ShutdownSandboxRequest, ShutdownSandboxResponse, StartSandboxRequest,
    StartSandboxResponse, StopSandboxRequest, StopSandboxResponse, WaitSandboxRequest, WaitSandboxResponse,
};
use containerd_shim_protos::sandbox_async::{Sandbox, create_sandbox};
use containerd_shim_protos::shim_async::Task as TaskService;
use serde_json::json;
use ttrpc::asynchronous::{MethodHandler, TtrpcContext};
use ttrpc::{Request, Response};

use super::Service;
use super::raw::response;
use crate::error::{Error, Result};
use crate::events::timestamp;
use crate::task::bundle::Bundle;
use crate::task::{Phase, end};
use crate::wasm::architecture;
use crate::{RUNTIME, node_config, observe, sandbox};

const SERVICE: &str = "containerd.runtime.sandbox.v1.Sandbox";

/// CRI's words.
const READY: &str = "SANDBOX_READY";
const NOT_READY: &str = "SANDBOX_NOTREADY";

/// What a sandbox that was stopped ended with: there was nothing to kill.
const STOPPED: u32 = 0;

struct Sandboxes(Arc<Service>);

/// The methods of the service.
pub fn methods(service: Arc<Service>) -> HashMap<String, ttrpc::asynchronous::Service> {
    let mut services = create_sandbox(Arc::new(Sandboxes(service)));
    if let Some(sandboxes) = services.get_mut(SERVICE) {
        // Of containerd 2.4, later than the messages: it takes this answer for a shim that has no use for updates.
        sandboxes.methods.insert("UpdateSandbox".to_owned(), Box::new(Unimplemented));
    }
    services
}

struct Unimplemented;

#[async_trait]
impl MethodHandler for Unimplemented {
    async fn handler(&self, _: TtrpcContext, _: Request) -> ttrpc::Result<Response> {
        Ok(response(Err(Error::Unimplemented("a sandbox has nothing that could be updated".into()))))
    }
}

impl Sandboxes {
    /// Writes down what the pod is. It has to be of the mode whose shim was started for it: CRI tells of its annotations
    /// only now.
    fn describe(&self, request: &CreateSandboxRequest) -> Result<CreateTaskRequest> {
        let path = Path::new(&request.bundle_path);
        sandbox::describe(path, &request.sandbox_id, &request.netns_path, request.options.as_ref())?;
        let options = sandbox::options(path)?;
        let policy = node_config::policy(options.as_ref())?;
        let asked = grants::mode(Bundle::read(path)?.spec(), &policy).map_err(anyhow::Error::from)?;
        let ours = self.0.mode();
        if asked != ours {
            return Err(Error::InvalidArgument(format!(
                "the annotation run.wasm/mode: {asked} of this pod does not fit its handler, whose sandboxes (`sandboxer = \
                 \"shim\"`) are of the mode {ours}: use a handler whose `modes` begin with `{asked}`"
            )));
        }
        Ok(CreateTaskRequest {
            id: request.sandbox_id.clone(),
            bundle: request.bundle_path.clone(),
            options: options.into(),
            ..CreateTaskRequest::default()
        })
    }
}

#[async_trait]
impl Sandbox for Sandboxes {
    async fn create_sandbox(
        &self,
        call: &TtrpcContext,
        request: CreateSandboxRequest,
    ) -> ttrpc::Result<CreateSandboxResponse> {
        let task = self.describe(&request)?;
        TaskService::create(&*self.0, call, task).await?;
        Ok(CreateSandboxResponse::new())
    }

    async fn start_sandbox(
        &self,
        call: &TtrpcContext,
        request: StartSandboxRequest,
    ) -> ttrpc::Result<StartSandboxResponse> {
        let start = StartRequest { id: request.sandbox_id, ..StartRequest::default() };
        let started = TaskService::start(&*self.0, call, start).await?;
        let created_at = timestamp(SystemTime::now());
        Ok(StartSandboxResponse { pid: started.pid, created_at, ..StartSandboxResponse::default() })
    }

    async fn platform(&self, _: &TtrpcContext, _: PlatformRequest) -> ttrpc::Result<PlatformResponse> {
        let mut response = PlatformResponse::new();
        let platform = response.platform.mut_or_insert_default();
        // What containerd makes specs for, and not what the images are of.
        (platform.os, platform.architecture) = ("linux".to_owned(), architecture().to_owned());
        Ok(response)
    }

    async fn stop_sandbox(
        &self,
        call: &TtrpcContext,
        request: StopSandboxRequest,
    ) -> ttrpc::Result<StopSandboxResponse> {
        end(&*self.0.find(call, &request.sandbox_id)?, self.0.events(), STOPPED);
        Ok(StopSandboxResponse::new())
    }

    async fn wait_sandbox(
        &self,
        call: &TtrpcContext,
        request: WaitSandboxRequest,
    ) -> ttrpc::Result<WaitSandboxResponse> {
        let end = self.0.find(call, &request.sandbox_id)?.ended().await;
        let exited_at = timestamp(end.at);
        Ok(WaitSandboxResponse { exit_status: end.code, exited_at, ..WaitSandboxResponse::default() })
    }

    async fn sandbox_status(
        &self,
        call: &TtrpcContext,
        request: SandboxStatusRequest,
    ) -> ttrpc::Result<SandboxStatusResponse> {
        let task = self.0.find(call, &request.sandbox_id)?;
        let mut status = SandboxStatusResponse {
            sandbox_id: request.sandbox_id,
            pid: task.pid(),
            state: READY.to_owned(),
            created_at: timestamp(task.created),
            ..SandboxStatusResponse::default()
        };
        if let Phase::Ended(end) = task.phase() {
            (status.state, status.exited_at) = (NOT_READY.to_owned(), timestamp(end.at));
        }
        if request.verbose {
            let info = json!({ "pid": status.pid, "runtimeType": RUNTIME });
            status.info.insert("info".to_owned(), info.to_string());
        }
        Ok(status)
    }

    async fn ping_sandbox(&self, call: &TtrpcContext, request: PingRequest) -> ttrpc::Result<PingResponse> {
        self.0.find(call, &request.sandbox_id)?;
        Ok(PingResponse::new())
    }

    async fn shutdown_sandbox(
        &self,
        call: &TtrpcContext,
        request: ShutdownSandboxRequest,
    ) -> ttrpc::Result<ShutdownSandboxResponse> {
        // One that could not be created is shut down all the same.
        if let Ok(task) = self.0.find(call, &request.sandbox_id) {
            end(&task, self.0.events(), STOPPED);
            observe::resume(task.subject.clone(), self.0.remove(&task)).await?;
        } else if let Some(slots) = &self.0.slots {
            slots.give_back(&self.0.key(call, &request.sandbox_id).0, &request.sandbox_id);
        }
        self.0.finish_when_empty();
        Ok(ShutdownSandboxResponse::new())
    }

    async fn sandbox_metrics(
        &self,
        call: &TtrpcContext,
        request: SandboxMetricsRequest,
    ) -> ttrpc::Result<SandboxMetricsResponse> {
        let stats = StatsRequest { id: request.sandbox_id.clone(), ..StatsRequest::default() };
        let stats = TaskService::stats(&*self.0, call, stats).await?;
        let mut response = SandboxMetricsResponse::new();
        let metrics = response.metrics.mut_or_insert_default();
        metrics.timestamp = timestamp(SystemTime::now());
        (metrics.id, metrics.data) = (request.sandbox_id, stats.stats);
        Ok(response)
    }
}
