//! The shim's process: serves the task service on one socket until it has nothing to do any more. The containers that it
//! serves are those of one pod, or, for a manager, those of all pods in shared mode.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use containerd_shim_protos::shim_async::create_task;
use grants::Mode;
use grants::policy::Observe;
use ttrpc::asynchronous::Server;
use ttrpc::asynchronous::transport::Listener;

use crate::address::Address;
use crate::callers::Callers;
use crate::events::Events;
use crate::loggers;
use crate::manager::{self, Manager};
use crate::observe::metrics::Census;
use crate::observe::scrape::Scrapes;
use crate::observe::traces;
use crate::service::forgotten::end_forgotten;
use crate::service::whole::whole;
use crate::service::{Service, diagnosis, sandbox};
use crate::{heap, logging, socket};

/// What a shim is told at its birth.
#[derive(Debug)]
pub struct Setting {
    /// containerd's namespace, where a caller does not say it.
    pub namespace: String,
    /// The bundle of the first container; the log goes to its `log` FIFO.
    pub bundle: PathBuf,
    /// The socket that is served; removed at the end.
    pub socket: PathBuf,
    pub debug: bool,
    /// Where events go, a socket path.
    pub ttrpc_address: Option<String>,
    /// Where images are looked up, a socket path.
    pub grpc_address: Option<String>,
    /// What it tells of itself.
    pub observe: Observe,
    /// It serves all pods in shared mode.
    pub manager: Option<Manager>,
}

impl Setting {
    /// The name of its socket, which no other shim of the node has.
    fn name(&self) -> &str {
        self.socket.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// Both generations of the task service: the messages are the same, the name is not.
const TASK_SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];

/// Serves until the last task is deleted and containerd has asked for the end, or a manager has had nothing to do for long.
pub fn run(listener: UnixListener, setting: Setting) -> Result<()> {
    heap::one_for_all_threads();
    match &setting.manager {
        Some(manager) => {
            manager::settle(&manager.name);
            logging::to_file(&manager.log()?, setting.observe.log, setting.debug)?;
        }
        None => logging::to_bundle(&setting.bundle, setting.observe.log, setting.debug),
    }
    let address = Arc::new(Address::new(&setting.socket));
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start tokio")?;
    let result = runtime.block_on(serve(listener, &setting, address.clone()));
    // A thread that waits for a file system that does not answer is not waited for.
    runtime.shutdown_background();
    if let Err(error) = &result {
        tracing::error!(error = format!("{error:#}"), "the shim failed");
    }
    // A manager has withdrawn itself. What one that failed has left the next `start` takes away, as after one that was killed.
    if setting.manager.is_none() {
        address.withdraw();
    }
    if let (Ok(()), Some(folder)) = (&result, setting.socket.parent()) {
        socket::sweep(folder);
    }
    result
}

async fn serve(listener: UnixListener, setting: &Setting, address: Arc<Address>) -> Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let (events, delivery) = Events::start(setting.ttrpc_address.clone());
    let service = Arc::new(Service::new(setting, events, address));
    let callers = Callers::new();
    let mut server = Server::new().add_listener(Listener::new(callers.accepted_at(listener)));
    for name in TASK_SERVICES {
        let methods = create_task(service.clone()).into_values();
        server = server.register_service(methods.map(|methods| (name.to_owned(), whole(methods))).collect());
    }
    let sandboxes = sandbox::methods(service.clone()).into_iter();
    server = server.register_service(sandboxes.map(|(name, methods)| (name, whole(methods))).collect());
    server = server.register_service(diagnosis::methods(service.clone()));
    observe(setting, &service);
    tokio::spawn(end_forgotten(Arc::downgrade(&service), setting.bundle.clone()));
    if let Some(manager) = &setting.manager {
        let service = Arc::downgrade(&service);
        let expect = move |arrival| service.upgrade().map(|service| service.expect(&arrival)).is_some();
        tokio::spawn(manager::arrivals(manager.slots.clone(), expect));
    }
    server.start().await.context("cannot serve the task service")?;
    match &setting.manager {
        Some(manager) => manager.finished(&setting.socket, || service.count()).await?,
        None => {
            service.finished().await;
            callers.hang_up().await;
        }
    }
    server.shutdown().await.context("cannot stop serving")?;
    service.end().await;
    drop(server);
    drop(service);
    loggers::finish().await;
    delivery.finish().await;
    traces::finish().await;
    Ok(())
}

/// Begins to tell what the node's config asks for. What cannot be told is said, and keeps no container from running.
fn observe(setting: &Setting, service: &Arc<Service>) {
    let mode = if setting.manager.is_some() { Mode::Shared } else { Mode::Normal };
    if setting.observe.metrics.includes(mode) {
        let service = Arc::downgrade(service);
        let census = move || {
            let service = service.upgrade();
            async move {
                match service {
                    Some(service) => service.census().await,
                    None => Census::default(),
                }
            }
        };
        let scrapes = Scrapes::new(census);
        if let Err(error) = scrapes.on_socket(setting.name()) {
            tracing::warn!(error = format!("{error:#}"), "nobody can ask for metrics");
        }
        if let (Some(address), Mode::Shared) = (setting.observe.metrics_address, mode) {
            scrapes.at(address);
        }
    }
    if let Some(endpoint) = &setting.observe.traces
        && let Err(error) = traces::start(endpoint)
    {
        tracing::warn!(error = format!("{error:#}"), "there are no traces");
    }
}
