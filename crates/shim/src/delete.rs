//! `delete`: cleans up after a shim that is gone. Each call is on its own: it may run beside a shim that lives, and
//! N of them run at once when a node loses its shims.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use containerd_shim_protos::api::{DeleteRequest, DeleteResponse, KillRequest, ShutdownRequest, WaitRequest};
use containerd_shim_protos::shim_async::{Client, TaskClient};
use grants::Mode;
use protobuf::Message;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cgroup;
use crate::command_line::Invocation;
use crate::events::timestamp;
use crate::manager::Slots;
use crate::native::Room;
use crate::record::{Process, Records};
use crate::service::NAMESPACE;
use crate::socket;
use crate::start;
use crate::task::bundle::Bundle;

/// What a task that nobody could ask is said to have ended with: killed.
const KILLED: u32 = 137;

/// How long a manager may take for all that is asked of it; containerd waits 5 s for all of this.
const SHIM: Duration = Duration::from_millis(1500);

/// How long the kernel may take to end a killed process.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a child that a killed shim was about to start may hold its socket.
const LETTING_GO: Duration = Duration::from_millis(500);

/// Answers containerd's `delete`: kills what is left of the task, removes what it made, prints a `DeleteResponse`.
pub fn delete(invocation: &Invocation) -> Result<()> {
    // A containerd that was asked to delete the task, too, removes the bundle meanwhile, or has done so.
    let address = start::address_of(&invocation.bundle);
    let records = Records::of(&invocation.address, &invocation.namespace);
    let mut pid = 0;
    let answers = address.as_deref().is_some_and(|socket| leave_the_shim(invocation, socket));
    let cgroups = match records.read(&invocation.id) {
        Some(record) => {
            if let Some(host) = &record.host {
                pid = host.pid.unsigned_abs();
                // A host that others share is not this task's to end. It ends with its manager.
                if record.mode == Mode::Normal {
                    // What stands still does not hear that it is killed.
                    cgroup::thaw(&record.cgroups);
                    end(host);
                }
            }
            record.cgroups
        }
        None => named_by_the_spec(&invocation.bundle),
    };
    Room::of(&invocation.address, &invocation.namespace, &invocation.id).sweep(&invocation.id);
    wait_until(|| !cgroup::is_systemds(&cgroups));
    wait_until(|| cgroup::remove(&cgroups));
    records.remove(&invocation.id);
    // One that has answered serves it still, or takes it away itself.
    if !answers {
        let socket = address.unwrap_or_else(|| start::own_socket(invocation));
        wait_for(LETTING_GO, || socket::remove_stale(&socket));
    }
    let exited_at = timestamp(SystemTime::now());
    let response = DeleteResponse { pid, exit_status: KILLED, exited_at, ..DeleteResponse::default() };
    Ok(std::io::stdout().write_all(&response.write_to_bytes()?)?)
}

/// A shim that lives ends the task itself, and then itself if that was the last: a containerd that was killed while it started
/// one does not know of it when it is back, and asks for nothing but this. A manager goes on for others; a slot that the task
/// may hold there is given back. Returns whether it lives.
fn leave_the_shim(invocation: &Invocation, socket: &Path) -> bool {
    if let Some(slots) = socket.file_name().and_then(|name| Slots::found(name.to_str()?)) {
        slots.give_back(&invocation.namespace, &invocation.id);
    }
    within_patience(async {
        let address = format!("unix://{}", socket.display());
        let tasks = TaskClient::new(Client::connect(&address).await?);
        let mut context = ttrpc::context::with_duration(SHIM);
        context.add(NAMESPACE.to_owned(), invocation.namespace.clone());
        let id = invocation.id.clone();
        let kill =
            KillRequest { id: id.clone(), signal: libc::SIGKILL.unsigned_abs(), ..KillRequest::default() };
        // It may have ended already, or never have been there.
        drop(tasks.kill(context.clone(), &kill).await);
        let wait = WaitRequest { id: id.clone(), ..WaitRequest::default() };
        drop(tasks.wait(context.clone(), &wait).await);
        let delete = DeleteRequest { id: id.clone(), ..DeleteRequest::default() };
        drop(tasks.delete(context.clone(), &delete).await);
        tasks.shutdown(context, &ShutdownRequest { id, ..ShutdownRequest::default() }).await
    })
}

/// Asks a shim for something; whether it has answered. Where nobody is, or nobody answers, the task has ended with its shim.
fn within_patience<T>(call: impl Future<Output = ttrpc::Result<T>>) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime.map(|runtime| runtime.block_on(async { tokio::time::timeout(SHIM, call).await }));
    matches!(answer, Ok(Ok(Ok(_))))
}

/// The cgroups of a task whose shim died while it created it: its host died with it, a record was never written.
fn named_by_the_spec(bundle: &Path) -> Vec<PathBuf> {
    let Ok(bundle) = Bundle::read(bundle) else { return Vec::new() };
    let path = bundle.spec().linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    let path = path.and_then(|path| path.to_str()).filter(|path| !path.is_empty());
    path.and_then(|path| cgroup::all_directories(path).ok()).unwrap_or_default()
}

fn end(process: &Process) {
    // The descriptor first, the identity after it: from then on the pid cannot come to mean another process.
    let pidfd = Pid::from_raw(process.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    if let Some(pidfd) = pidfd.filter(|_| process.lives()) {
        let _gone_already = pidfd_send_signal(&pidfd, Signal::KILL);
        wait_until(|| !process.lives());
    }
}

fn wait_until(done: impl FnMut() -> bool) {
    wait_for(PATIENCE, done);
}

fn wait_for(time: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + time;
    while !done() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
}
