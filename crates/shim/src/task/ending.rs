//! The end of a container: what is reported, to whom, and in which order.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use containerd_shim_protos::events::task::{TaskExit, TaskOOM};
use containerd_shim_protos::topics::{TASK_EXIT_EVENT_TOPIC, TASK_OOM_EVENT_TOPIC};
use host::protocol::{Counts, Exit};

use super::container::lock;
use super::{Container, Death, End, Task, Work};
use crate::events::{Events, timestamp};

/// What Kubernetes reads of a termination message, in bytes.
const MAX_MESSAGE: usize = 4096;

/// Exit codes of the design's table of ends.
const KILLED: u8 = 137;
const CRASHED: u8 = 139;

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
    let exit = match container.home.exit(&container.denied).await {
        Some(exit) => as_asked(exit, container),
        None => without_a_word(&task.id, container).await,
    };
    // What is left of the host has nothing more to do, and holds the streams open.
    container.home.end().await;
    if let (Some(reason), false) = (&exit.reason, exit.told)
        && let Some(stdio) = lock(&container.stdio).as_ref()
    {
        stdio.complain(reason);
    }
    if let Some(reason) = &exit.reason
        && let Some(file) = &container.termination_message
    {
        write_message(file, reason);
    }
    let stdio = lock(&container.stdio).take();
    if let Some(stdio) = stdio {
        let unread = stdio.close().await;
        *lock(&container.unread) = Some(unread);
    }
    let code = u32::from(exit.code);
    tracing::info!(code, oom = exit.oom, reason = exit.reason.as_deref().unwrap_or(""), "ended");
    if exit.oom {
        let event = TaskOOM { container_id: task.id.clone(), ..TaskOOM::default() };
        events.publish(&task.namespace, TASK_OOM_EVENT_TOPIC, &event);
    }
    end(&task, &events, code);
}

/// A guest that its host was asked to end has ended by the signal that containerd sent.
fn as_asked(exit: Exit, container: &Container) -> Exit {
    let asked = u8::try_from(container.ended_by.load(Ordering::SeqCst)).unwrap_or(0);
    match asked > 0 && exit.code == KILLED && exit.reason.is_none() {
        true => Exit { code: 128u8.saturating_add(asked), ..exit },
        false => exit,
    }
}

/// Records an end and announces it, once.
pub fn end(task: &Task, events: &Events, code: u32) {
    let at = SystemTime::now();
    if task.finish(End { code, at }) {
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

/// The host is gone and said nothing: killed by us, by the kernel for want of memory, or crashed.
async fn without_a_word(id: &str, container: &Container) -> Exit {
    let Death { signal, words } = container.home.death().await;
    let exit = |code, oom, reason| {
        let (id, denied) = (id.to_owned(), Counts::new());
        Exit { id, code, oom, reason, told: false, denied }
    };
    let asked = container.ended_by.load(Ordering::SeqCst);
    if let (true, Ok(signal)) = (asked > 0, u8::try_from(asked)) {
        return exit(128u8.saturating_add(signal), false, None);
    }
    let usage = container.usage().await;
    if usage.oom_kills > 0 {
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let reason = format!(
            "out of memory: memory limit of {:.1} MiB reached: the kernel ended the container, which with its files in \
             memory and the kernel's own part had {:.1} MiB",
            mib(usage.memory_limit),
            mib(usage.memory_peak.max(usage.memory))
        );
        return exit(KILLED, true, Some(reason));
    }
    let by = signal.map(|signal| format!(" by signal {signal}")).unwrap_or_default();
    let reason =
        format!("run-wasm: the engine host was ended{by}{}{words}", if words.is_empty() { "" } else { ": " });
    exit(CRASHED, false, Some(reason))
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
