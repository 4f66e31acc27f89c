//! The task service, v2 and v3 alike: finds the task, calls it, answers. Every RPC is answered.

mod census;
pub mod diagnosis;
pub mod forgotten;
mod raw;
pub mod sandbox;
pub mod whole;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
    CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest, PauseRequest,
    PidsRequest, PidsResponse, ProcessInfo, ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest,
    StartResponse, StateRequest, StateResponse, StatsRequest, StatsResponse, UpdateTaskRequest, WaitRequest,
    WaitResponse,
};
use containerd_shim_protos::events::task::{
    TaskCreate, TaskDelete, TaskExecAdded, TaskIO, TaskPaused, TaskResumed, TaskStart,
};
use containerd_shim_protos::shim_async::Task as TaskService;
use containerd_shim_protos::topics::{
    TASK_CREATE_EVENT_TOPIC, TASK_DELETE_EVENT_TOPIC, TASK_EXEC_ADDED_EVENT_TOPIC, TASK_PAUSED_EVENT_TOPIC,
    TASK_RESUMED_EVENT_TOPIC, TASK_START_EVENT_TOPIC,
};
use grants::Mode;
use protobuf::well_known_types::any::Any;
use protobuf::{CodedOutputStream, MessageField};
use tokio::sync::Notify;
use ttrpc::asynchronous::TtrpcContext;

use crate::address::Address;
use crate::cgroup::Version;
use crate::command_line::check_name;
use crate::containerd::Registry;
use crate::daemon::Setting;
use crate::error::{Error, Result};
use crate::events::{Events, timestamp};
use crate::group::Groups;
use crate::heap;
use crate::logging;
use crate::manager::{Arrival, Notes, Slots};
use crate::native::Pods;
use crate::observe::metrics;
use crate::observe::{self, Stage, Subject};
use crate::record::{self, Record, Records};
use crate::signatures::Signatures;
use crate::stats;
use crate::stdio::Urls;
use crate::task::bundle::Bundle;
use crate::task::{
    Context, Exec, Looks, Order, Phase, Program, Task, Work, create, end, end_soon, signal_ends, start_exec,
};

/// What a sandbox that runs ends with when it is taken away.
const KILLED: u32 = 128 + libc::SIGKILL.unsigned_abs();

/// Where containerd says its namespace with a call.
pub const NAMESPACE: &str = "containerd-namespace-ttrpc";

/// A task's namespace and id.
type Key = (String, String);

/// The tasks of one pod, or of all pods in shared mode, and the RPCs on them.
pub struct Service {
    context: Context,
    /// `None` while a task is being created: its id is taken.
    tasks: Mutex<HashMap<Key, Option<Arc<Task>>>>,
    /// Where a caller does not say it.
    namespace: String,
    /// Of a manager.
    slots: Option<Slots>,
    /// Of any other shim.
    address: Arc<Address>,
    done: Notify,
}

impl Service {
    pub fn new(setting: &Setting, events: Events, address: Arc<Address>) -> Service {
        let context = Context {
            containerd: Arc::new(Registry::new(setting.grpc_address.clone())),
            looks: Looks::default(),
            signatures: Signatures::default(),
            events,
            address: setting.grpc_address.clone().unwrap_or_default(),
            pods: Pods::default(),
            groups: setting.manager.as_ref().map(|manager| Arc::new(Groups::new(Notes::of(&manager.name)))),
        };
        Service {
            context,
            tasks: Mutex::default(),
            namespace: setting.namespace.clone(),
            slots: setting.manager.as_ref().map(|manager| manager.slots.clone()),
            address,
            done: Notify::new(),
        }
    }

    /// Waits until containerd has asked for the end and nothing is left.
    pub async fn finished(&self) {
        self.done.notified().await;
    }

    /// How many tasks there are, with those that are being created.
    pub fn count(&self) -> usize {
        self.tasks().len()
    }

    /// Prepares for a container that will be created soon.
    pub fn expect(&self, arrival: &Arrival) {
        let Arrival { namespace, id, bundle } = arrival;
        self.context.looks.begin(&self.context.containerd, namespace, id, bundle);
    }

    /// Ends what does not end with the last task: the hosts of trust groups.
    pub async fn end(&self) {
        if let Some(groups) = &self.context.groups {
            groups.end().await;
        }
    }

    /// That of all of its containers.
    fn mode(&self) -> Mode {
        if self.slots.is_some() { Mode::Shared } else { Mode::Normal }
    }

    /// A shim without a task has nothing more to do. A manager decides for itself.
    fn finish_when_empty(&self) {
        if self.slots.is_none() && self.count() == 0 {
            self.address.withdraw();
            self.done.notify_one();
        }
    }

    fn records(&self, namespace: &str) -> Records {
        Records::of(&self.context.address, namespace)
    }

    /// Whose task a call is about.
    fn key(&self, call: &TtrpcContext, id: &str) -> Key {
        let told = call.metadata.get(NAMESPACE).and_then(|values| values.first());
        (told.unwrap_or(&self.namespace).clone(), id.to_owned())
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<Key, Option<Arc<Task>>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process of a task: its first, or one that was executed in it.
    fn process(&self, call: &TtrpcContext, id: &str, exec: &str) -> Result<Process> {
        let task = self.find(call, id)?;
        Ok(match exec {
            "" => Process::First(task),
            exec => Process::Exec(task.exec(exec)?, task),
        })
    }

    /// # Errors
    /// The task does not run, or is one in which nothing does.
    fn needs_to_run(&self, task: &Task, what: &str) -> Result<()> {
        match &task.work {
            Work::Sandbox => Err(Error::FailedPrecondition(format!(
                "{} is a sandbox, in which nothing runs to be {what}",
                task.id
            ))),
            _ if task.phase() == Phase::Running => Ok(()),
            _ => Err(Error::FailedPrecondition(format!(
                "the task {} does not run: it cannot be {what}",
                task.id
            ))),
        }
    }

    /// Has a container stand still, or go on.
    async fn hold(&self, task: &Task, still: bool) -> Result<()> {
        self.needs_to_run(task, if still { "paused" } else { "resumed" })?;
        match &task.work {
            Work::Sandbox => Ok(()),
            Work::Container(container) => {
                let pids: Vec<u32> = task.pids().into_iter().map(|(pid, _)| pid).collect();
                container.pause(still, &pids).await
            }
            Work::Native(native) if still => Ok(native.pause().await?),
            Work::Native(native) => Ok(native.resume().await?),
        }
    }

    fn find(&self, call: &TtrpcContext, id: &str) -> Result<Arc<Task>> {
        let found = self.tasks().get(&self.key(call, id)).cloned().flatten();
        found.ok_or_else(|| Error::NotFound(format!("no task {id}")))
    }

    fn events(&self) -> &Events {
        &self.context.events
    }

    async fn make(&self, namespace: &str, request: CreateTaskRequest) -> Result<Arc<Task>> {
        check_name("the task's id", &request.id)
            .map_err(|error| Error::InvalidArgument(error.to_string()))?;
        if !request.checkpoint.is_empty() {
            return Err(Error::Unimplemented("a Wasm container cannot be restored from a checkpoint".into()));
        }
        if self.slots.is_some() {
            logging::also_to(Path::new(&request.bundle));
        }
        let bundle = Bundle::read(&PathBuf::from(&request.bundle))?;
        let pod = grants::identity::pod(bundle.spec()).map(|pod| format!("{}/{}", pod.namespace, pod.name));
        observe::named(pod.as_deref());
        let created_event = TaskCreate {
            container_id: request.id.clone(),
            bundle: request.bundle.clone(),
            rootfs: request.rootfs.clone(),
            io: MessageField::some(TaskIO {
                stdin: request.stdin.clone(),
                stdout: request.stdout.clone(),
                stderr: request.stderr.clone(),
                terminal: request.terminal,
                ..TaskIO::default()
            }),
            ..TaskCreate::default()
        };
        let order = Order {
            namespace: namespace.to_owned(),
            id: request.id,
            bundle: request.bundle.into(),
            rootfs: request.rootfs,
            urls: Urls {
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
                terminal: request.terminal,
            },
            options: request.options.into_option(),
        };
        let made = create(&self.context, order, &bundle).await?;
        let record = Record {
            namespace: namespace.to_owned(),
            id: made.task.id.clone(),
            pod,
            image: made.image,
            bundle: bundle.path().to_owned(),
            mode: made.mode,
            created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            shim_pid: std::process::id().cast_signed(),
            host: match &made.task.work {
                Work::Sandbox => None,
                Work::Container(container) => container.guest().identity().cloned(),
                Work::Native(native) => record::Process::of(native.pid().cast_signed()).ok(),
            },
            grants: made.grants,
            code: made.code,
            cgroups: made.cgroups,
        };
        if let Err(error) = self.records(namespace).write(&record) {
            tracing::warn!(error = format!("{error:#}"), "run-wasm ps will not see a task");
        }
        let event = TaskCreate { pid: made.task.pid(), ..created_event };
        self.events().publish(namespace, TASK_CREATE_EVENT_TOPIC, &event);
        let granted = made.granted.map(|granted| format!("; {granted}")).unwrap_or_default();
        tracing::info!(pid = made.task.pid(), "created{granted}");
        Ok(made.task)
    }

    async fn remove(&self, task: &Task) -> Result<DeleteResponse> {
        match task.phase() {
            Phase::Running => {
                Err(Error::FailedPrecondition(format!("the task {} is running: kill it first", task.id)))
            }
            _ => self.take_away(task).await,
        }
    }

    /// Removes a task; ends it where it has no end yet, as one that was created and never started.
    async fn take_away(&self, task: &Task) -> Result<DeleteResponse> {
        let runs = task.phase() == Phase::Running;
        match &task.work {
            Work::Container(container) => container.end_by(libc::SIGKILL),
            Work::Native(native) => native.kill(libc::SIGKILL, runs).await?,
            Work::Sandbox => end(task, self.events(), if runs { KILLED } else { 0 }),
        }
        let end = task.ended().await;
        task.clean().await;
        if let Work::Sandbox = &task.work {
            self.context.pods.end(&(task.namespace.clone(), task.id.clone())).await;
        }
        self.records(&task.namespace).remove(&task.id);
        observe::forget(&task.namespace, &task.id);
        self.tasks().remove(&(task.namespace.clone(), task.id.clone()));
        let event = TaskDelete {
            container_id: task.id.clone(),
            pid: task.pid(),
            exit_status: end.code,
            exited_at: timestamp(end.at),
            ..TaskDelete::default()
        };
        self.events().publish(&task.namespace, TASK_DELETE_EVENT_TOPIC, &event);
        let exited_at = timestamp(end.at);
        Ok(DeleteResponse { pid: task.pid(), exit_status: end.code, exited_at, ..DeleteResponse::default() })
    }
}

/// What a call is about.
enum Process {
    First(Arc<Task>),
    Exec(Arc<Exec>, Arc<Task>),
}

impl Process {
    /// What runs, or has run; `None` for a sandbox.
    fn program(&self) -> Result<Option<Program<'_>>> {
        match self {
            Process::First(task) => Ok(match &task.work {
                Work::Sandbox => None,
                Work::Container(container) => Some(Program::Guest(container.guest())),
                Work::Native(native) => Some(Program::Native(native.init())),
            }),
            Process::Exec(exec, _) => exec.program().map(Some),
        }
    }
}

#[async_trait]
impl TaskService for Service {
    async fn create(
        &self,
        call: &TtrpcContext,
        request: CreateTaskRequest,
    ) -> ttrpc::Result<CreateTaskResponse> {
        let id = request.id.clone();
        let key = self.key(call, &id);
        match self.tasks().entry(key.clone()) {
            Entry::Occupied(_) => {
                return Err(Error::AlreadyExists(format!("the task {id} exists already")).into());
            }
            Entry::Vacant(place) => drop(place.insert(None)),
        }
        let made = async {
            let made = observe::stage(Stage::Create, self.make(&key.0, request)).await;
            match made.as_ref().map(|task| &task.work) {
                Ok(Work::Sandbox) => {}
                Ok(Work::Native(_)) => metrics::created(metrics::NATIVE, true),
                made => metrics::created(metrics::word(self.mode()), made.is_ok()),
            }
            made.inspect_err(|error| tracing::warn!(%error, "not created"))
        };
        let made = observe::about(Subject::new(&key.0, &id), made).await;
        if let Some(slots) = &self.slots {
            slots.give_back(&key.0, &id);
        }
        // A manager has no idle moment between two creates: it trims when it has nothing to do.
        if self.slots.is_none() {
            heap::trim();
        }
        match made {
            Ok(task) => {
                let pid = task.pid();
                self.tasks().insert(key, Some(task));
                Ok(CreateTaskResponse { pid, ..CreateTaskResponse::default() })
            }
            Err(error) => {
                self.tasks().remove(&key);
                observe::forget(&key.0, &id);
                Err(error.into())
            }
        }
    }

    async fn start(&self, call: &TtrpcContext, request: StartRequest) -> ttrpc::Result<StartResponse> {
        let pid = match self.process(call, &request.id, &request.exec_id)? {
            Process::First(task) => {
                let pid = task.pid();
                let start = task.start(|| {
                    let event = TaskStart { container_id: task.id.clone(), pid, ..TaskStart::default() };
                    self.events().publish(&task.namespace, TASK_START_EVENT_TOPIC, &event);
                });
                observe::resume(task.subject.clone(), observe::stage(Stage::Start, start)).await?;
                pid
            }
            Process::Exec(exec, task) => {
                start_exec(&self.context, &task, &exec).await?;
                exec.pid()
            }
        };
        Ok(StartResponse { pid, ..StartResponse::default() })
    }

    async fn state(&self, call: &TtrpcContext, request: StateRequest) -> ttrpc::Result<StateResponse> {
        Ok(match self.process(call, &request.id, &request.exec_id)? {
            Process::First(task) => task.state().await,
            Process::Exec(exec, task) => exec.state(&task),
        })
    }

    async fn wait(&self, call: &TtrpcContext, request: WaitRequest) -> ttrpc::Result<WaitResponse> {
        let end = match self.process(call, &request.id, &request.exec_id)? {
            Process::First(task) => task.ended().await,
            Process::Exec(exec, _) => exec.ended().await,
        };
        Ok(WaitResponse { exit_status: end.code, exited_at: timestamp(end.at), ..WaitResponse::default() })
    }

    async fn kill(&self, call: &TtrpcContext, request: KillRequest) -> ttrpc::Result<Empty> {
        let process = self.process(call, &request.id, &request.exec_id)?;
        let phase = match &process {
            Process::First(task) => task.phase(),
            Process::Exec(exec, _) => exec.phase(),
        };
        if let Phase::Ended(_) = phase {
            let process = if request.exec_id.is_empty() { &request.id } else { &request.exec_id };
            return Err(Error::NotFound(format!("{process} has ended already")).into());
        }
        let signal = request.signal.cast_signed();
        match &process {
            Process::First(task) => match &task.work {
                Work::Native(native) => native.kill(signal, request.all).await.map_err(Error::from)?,
                _ if !signal_ends(signal) => {}
                Work::Sandbox => end_soon(task, self.events(), 128u32.saturating_add(request.signal)),
                Work::Container(container) => container.end_by(signal),
            },
            Process::Exec(exec, _) => exec.program()?.signal(signal).map_err(Error::from)?,
        }
        Ok(Empty::new())
    }

    async fn delete(&self, call: &TtrpcContext, request: DeleteRequest) -> ttrpc::Result<DeleteResponse> {
        match self.process(call, &request.id, &request.exec_id)? {
            Process::First(task) => Ok(observe::resume(task.subject.clone(), self.remove(&task)).await?),
            Process::Exec(exec, task) => {
                task.remove_exec(&exec).await?;
                let mut response = DeleteResponse { pid: exec.pid(), ..DeleteResponse::default() };
                if let Phase::Ended(end) = exec.phase() {
                    response.exit_status = end.code;
                    response.exited_at = timestamp(end.at);
                }
                Ok(response)
            }
        }
    }

    async fn pids(&self, call: &TtrpcContext, request: PidsRequest) -> ttrpc::Result<PidsResponse> {
        let pids = self.find(call, &request.id)?.pids();
        let processes = pids.into_iter().map(|(pid, exec)| process_info(pid, exec)).collect::<Result<_>>()?;
        Ok(PidsResponse { processes, ..PidsResponse::default() })
    }

    async fn stats(&self, call: &TtrpcContext, request: StatsRequest) -> ttrpc::Result<StatsResponse> {
        let task = self.find(call, &request.id)?;
        let usage = task.usage().await;
        let metrics = stats::metrics(Version::of_this_node(), &usage).map_err(anyhow::Error::from);
        Ok(StatsResponse {
            stats: MessageField::some(metrics.map_err(Error::from)?),
            ..StatsResponse::default()
        })
    }

    async fn connect(&self, call: &TtrpcContext, request: ConnectRequest) -> ttrpc::Result<ConnectResponse> {
        let task_pid = self.find(call, &request.id).map_or(0, |task| task.pid());
        Ok(ConnectResponse {
            shim_pid: std::process::id(),
            task_pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ConnectResponse::default()
        })
    }

    async fn resize_pty(&self, call: &TtrpcContext, request: ResizePtyRequest) -> ttrpc::Result<Empty> {
        if let Some(program) = self.process(call, &request.id, &request.exec_id)?.program()? {
            program.resize(request.width, request.height).map_err(Error::from)?;
        }
        Ok(Empty::new())
    }

    async fn close_io(&self, call: &TtrpcContext, request: CloseIORequest) -> ttrpc::Result<Empty> {
        let process = self.process(call, &request.id, &request.exec_id)?;
        if let (true, Some(program)) = (request.stdin, process.program()?) {
            program.close_stdin().map_err(Error::from)?;
        }
        Ok(Empty::new())
    }

    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> ttrpc::Result<Empty> {
        // One call per task of the pod: only the last ends the shim.
        self.finish_when_empty();
        Ok(Empty::new())
    }

    async fn pause(&self, call: &TtrpcContext, request: PauseRequest) -> ttrpc::Result<Empty> {
        let task = self.find(call, &request.id)?;
        self.hold(&task, true).await?;
        let event = TaskPaused { container_id: task.id.clone(), ..TaskPaused::default() };
        self.events().publish(&task.namespace, TASK_PAUSED_EVENT_TOPIC, &event);
        Ok(Empty::new())
    }

    async fn resume(&self, call: &TtrpcContext, request: ResumeRequest) -> ttrpc::Result<Empty> {
        let task = self.find(call, &request.id)?;
        self.hold(&task, false).await?;
        let event = TaskResumed { container_id: task.id.clone(), ..TaskResumed::default() };
        self.events().publish(&task.namespace, TASK_RESUMED_EVENT_TOPIC, &event);
        Ok(Empty::new())
    }

    async fn exec(&self, call: &TtrpcContext, request: ExecProcessRequest) -> ttrpc::Result<Empty> {
        let task = self.find(call, &request.id)?;
        check_name("the id of the process", &request.exec_id)
            .map_err(|error| Error::InvalidArgument(error.to_string()))?;
        self.needs_to_run(&task, "entered")?;
        let urls = Urls {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        };
        let exec_id = request.exec_id.clone();
        task.add_exec(Exec::new(request.exec_id, &request.spec.value, urls)?)?;
        let event = TaskExecAdded { container_id: task.id.clone(), exec_id, ..TaskExecAdded::default() };
        self.events().publish(&task.namespace, TASK_EXEC_ADDED_EVENT_TOPIC, &event);
        Ok(Empty::new())
    }

    async fn update(&self, call: &TtrpcContext, request: UpdateTaskRequest) -> ttrpc::Result<Empty> {
        let task = self.find(call, &request.id)?;
        let json = &request.resources.value;
        let resources = serde_json::from_slice(json).map_err(|error| {
            Error::InvalidArgument(format!("the resources of the task {}: {error}", task.id))
        })?;
        match &task.work {
            // Nothing runs in it that could use them.
            Work::Sandbox => {}
            Work::Container(container) => container.update(&resources).await?,
            Work::Native(native) => native.update(json).await.map_err(Error::from)?,
        }
        Ok(Empty::new())
    }

    async fn checkpoint(&self, _: &TtrpcContext, _: CheckpointTaskRequest) -> ttrpc::Result<Empty> {
        Err(Error::Unimplemented(
            "a checkpoint of a Wasm container is not supported by this release of run-wasm".into(),
        )
        .into())
    }
}

/// A process as `Pids` tells it.
fn process_info(pid: u32, exec: Option<String>) -> Result<ProcessInfo> {
    let info = exec.as_deref().map(process_details).transpose().map_err(anyhow::Error::from)?;
    Ok(ProcessInfo { pid, info: info.into(), ..ProcessInfo::default() })
}

/// `containerd.runc.v1.ProcessDetails` (api/types/runc/options/oci.proto), by which containerd's clients tell execs.
fn process_details(exec: &str) -> protobuf::Result<Any> {
    let mut value = Vec::new();
    {
        let mut out = CodedOutputStream::vec(&mut value);
        out.write_string(1, exec)?;
        out.flush()?;
    }
    Ok(Any { type_url: "containerd.runc.v1.ProcessDetails".into(), value, ..Any::default() })
}
