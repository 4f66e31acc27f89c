//! The end of a container: what is reported, to whom, and in which order.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use containerd_shim_protos::events::task::{TaskExit, TaskOOM};
use containerd_shim_protos::topics::{TASK_EXIT_EVENT_TOPIC, TASK_OOM_EVENT_TOPIC};

use super::{End, Task, Work};
use crate::events::{Events, timestamp};
use crate::native::NativeEnd;
use crate::observe::metrics;

/// What Kubernetes reads of a termination message, in bytes.
const MAX_MESSAGE: usize = 4096;

/// What a sandbox takes to end.
const DYING: Duration = Duration::from_millis(10);

/// Whether a signal ends a process that handles none (signal(7)): a guest handles none.
pub fn signal_ends(signal: i32) -> bool {
    let ignored_or_stops = [
        libc::SIGCHLD,
        libc::SIGURG,
        libc::SIGWINCH,
        libc::SIGCONT,
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ];
    signal > 0 && !ignored_or_stops.contains(&signal)
}

/// Watches over a task from create to its end.
pub async fn watch(task: Arc<Task>, events: Events) {
    let Work::Container(container) = &task.work else { return };
    let exit = container.guest().exit(container).await;
    metrics::exited(&exit);
    if let Some(reason) = &exit.reason
        && let Some(file) = &container.termination_message
    {
        write_message(file, reason);
    }
    container.guest().close().await;
    // Their ends are told before that of the container.
    task.end_execs().await;
    let code = u32::from(exit.code);
    tracing::info!(code, oom = exit.oom, reason = exit.reason.as_deref().unwrap_or(""), "ended");
    if exit.oom {
        tell_oom(&task, &events).await;
    }
    end(&task, &events, code);
}

/// Announces that the kernel or the memory limit ended a task, before anybody learns that it ended: CRI waits for the end by a call
/// and not by its event, and who asks it between the two (kubelet, once) reads `Error` in place of `OOMKilled`.
async fn tell_oom(task: &Task, events: &Events) {
    let event = TaskOOM { container_id: task.id.clone(), ..TaskOOM::default() };
    events.publish(&task.namespace, TASK_OOM_EVENT_TOPIC, &event);
    events.heard().await;
}

/// Watches over a task of a native container.
pub async fn watch_native(task: Arc<Task>, events: Events) {
    let Work::Native(native) = &task.work else { return };
    let NativeEnd { code, oom } = native.ended().await;
    task.end_execs().await;
    tracing::info!(code, oom, "ended");
    if oom {
        tell_oom(&task, &events).await;
    }
    end(&task, &events, code);
}

/// Ends a sandbox as a signal ends a process: a moment after the caller was told that it is sent. containerd deletes an ended
/// sandbox, and hangs up, at once; the answer to the signal must have come home by then, or stopping the pod fails.
pub fn end_soon(task: &Arc<Task>, events: &Events, code: u32) {
    let (task, events) = (task.clone(), events.clone());
    tokio::spawn(async move {
        tokio::time::sleep(DYING).await;
        end(&task, &events, code);
    });
}

/// Records an end and announces it, once.
pub fn end(task: &Task, events: &Events, code: u32) {
    let at = SystemTime::now();
    if task.progress.finish(End { code, at }) {
        let event = TaskExit {
            container_id: task.id.clone(),
            id: task.id.clone(),
            pid: task.pid(),
            exit_status: code,
            exited_at: timestamp(at),
            ..TaskExit::default()
        };
        events.publish(&task.namespace, TASK_EXIT_EVENT_TOPIC, &event);
    }
}

/// Writes the termination message where kubelet reads it. The file is on the node, made by kubelet; a link in its
/// place is not followed.
fn write_message(file: &Path, reason: &str) {
    let message = reason.get(..reason.floor_char_boundary(MAX_MESSAGE)).unwrap_or_default();
    let open = OpenOptions::new()
        .write(true)
        .truncate(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(file);
    if let Err(error) = open.and_then(|mut file| file.write_all(message.as_bytes())) {
        tracing::warn!(%error, file = %file.display(), "cannot write the termination message");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signals_that_end_an_ordinary_process_end_a_guest() {
        for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGINT, libc::SIGUSR1, libc::SIGHUP] {
            assert!(signal_ends(signal));
        }
        for signal in [libc::SIGWINCH, libc::SIGCHLD, libc::SIGCONT, libc::SIGSTOP, 0] {
            assert!(!signal_ends(signal));
        }
    }

    #[test]
    fn a_termination_message_is_cut_and_goes_through_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        std::fs::write(&file, "old").unwrap();
        write_message(&file, &"ä".repeat(4000));
        assert_eq!(std::fs::read(&file).unwrap().len(), MAX_MESSAGE);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_message(&link, "through");
        assert_eq!(std::fs::read(&file).unwrap().len(), MAX_MESSAGE);
    }
}
