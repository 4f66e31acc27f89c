//! A process that somebody else has started and left to this one: the runtime's work, once the runtime is gone.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, child_subreaper, getpid, pidfd_open, set_child_subreaper, waitid,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::OnceCell;

use super::family;
use crate::reactor::register;

/// Makes this process the parent of all that its descendants leave behind (`PR_SET_CHILD_SUBREAPER`).
pub fn adopt_from_now_on() -> Result<()> {
    if child_subreaper().context("cannot ask who reaps orphans")?.is_none() {
        set_child_subreaper(Some(getpid())).context("cannot become the parent of orphans")?;
    }
    Ok(())
}

/// Such a process. It is a child, and nobody else reaps it: its pid stays its own until [`Adopted::code`] has an answer.
#[derive(Debug)]
pub struct Adopted {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    code: OnceCell<u32>,
}

impl Adopted {
    pub fn new(pid: i32) -> Result<Adopted> {
        let pid = Pid::from_raw(pid).context("the runtime tells of no process")?;
        let pidfd =
            pidfd_open(pid, PidfdFlags::NONBLOCK).context("the process that the runtime started is gone")?;
        Ok(Adopted { pid, pidfd: register(pidfd, Interest::READABLE)?, code: OnceCell::new() })
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    pub fn signal(&self, number: i32) -> Result<()> {
        family::signal(self.pidfd.get_ref().as_fd(), number)
            .with_context(|| format!("cannot send the signal {number}"))
    }

    /// Waits for the end. The exit code: its own, or 128 and the signal that ended it.
    pub async fn code(&self) -> u32 {
        *self.code.get_or_init(|| self.reap()).await
    }

    async fn reap(&self) -> u32 {
        const UNKNOWN: u32 = 255;
        loop {
            let Ok(mut ready) = self.pidfd.readable().await else { return UNKNOWN };
            match waitid(
                WaitId::PidFd(self.pidfd.get_ref().as_fd()),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
            ) {
                Ok(Some(status)) => {
                    let code =
                        status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal));
                    return code.and_then(|code| u32::try_from(code).ok()).unwrap_or(UNKNOWN);
                }
                Ok(None) => ready.clear_ready(),
                Err(error) => {
                    tracing::error!(%error, pid = self.pid(), "a native process ended and nobody can tell how");
                    return UNKNOWN;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A process that its parent has left: the shell ends at once.
    fn left(script: &str) -> Adopted {
        adopt_from_now_on().unwrap();
        let shell = Command::new("sh")
            .args(["-c", &format!("({script}) >/dev/null 2>&1 & echo $!")])
            .output()
            .unwrap();
        Adopted::new(String::from_utf8(shell.stdout).unwrap().trim().parse().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_end_of_an_orphan_is_told_again_and_again() {
        let orphan = left("sleep 0.05; exit 7");
        assert_eq!((orphan.code().await, orphan.code().await), (7, 7));
    }

    #[tokio::test]
    async fn an_orphan_that_a_signal_ends_has_the_code_that_a_shell_tells() {
        let orphan = left("sleep 60");
        orphan.signal(libc::SIGTERM).unwrap();
        assert_eq!(orphan.code().await, 143);
        orphan.signal(libc::SIGTERM).unwrap();
    }
}
