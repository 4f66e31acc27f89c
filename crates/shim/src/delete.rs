//! `delete`: cleans up after a shim that is gone. Each call is on its own: it may run beside a shim that lives, and
//! N of them run at once when a node loses its shims.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use containerd_shim_protos::api::DeleteResponse;
use protobuf::Message;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::cgroup;
use crate::command_line::Invocation;
use crate::events::timestamp;
use crate::record::{Process, Records};
use crate::start;
use crate::task::bundle::Bundle;

/// What a task that nobody could ask is said to have ended with: killed.
const KILLED: u32 = 137;

/// How long the kernel may take to end a killed process; containerd waits 5 s for all of this.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers containerd's `delete`: kills what is left of the task, removes what it made, prints a `DeleteResponse`.
pub fn delete(invocation: &Invocation) -> Result<()> {
    let records = Records::of(&invocation.address, &invocation.namespace);
    let mut pid = 0;
    let cgroups = match records.read(&invocation.id) {
        Some(record) => {
            if let Some(host) = &record.host {
                pid = host.pid.unsigned_abs();
                end(host);
            }
            record.cgroups
        }
        None => named_by_the_spec(&invocation.bundle),
    };
    wait_until(|| cgroup::remove(&cgroups));
    records.remove(&invocation.id);
    start::remove_stale_socket(&invocation.bundle);
    let exited_at = timestamp(SystemTime::now());
    let response = DeleteResponse { pid, exit_status: KILLED, exited_at, ..DeleteResponse::default() };
    Ok(std::io::stdout().write_all(&response.write_to_bytes()?)?)
}

/// The cgroups of a task whose shim died while it created it: its host died with it, a record was never written.
fn named_by_the_spec(bundle: &Path) -> Vec<PathBuf> {
    let Ok(bundle) = Bundle::read(bundle) else { return Vec::new() };
    let path = bundle.spec().linux().as_ref().and_then(|linux| linux.cgroups_path().as_ref());
    let path = path.and_then(|path| path.to_str()).filter(|path| !path.is_empty());
    path.and_then(|path| cgroup::directories(path).ok()).unwrap_or_default()
}

fn end(process: &Process) {
    // The descriptor first, the identity after it: from then on the pid cannot come to mean another process.
    let pidfd = Pid::from_raw(process.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    if let Some(pidfd) = pidfd.filter(|_| process.lives()) {
        let _gone_already = pidfd_send_signal(&pidfd, Signal::KILL);
        wait_until(|| !process.lives());
    }
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(2));
    }
}
