//! A native process as the shim holds it: the first of a container, or an exec.

use std::ffi::OsStr;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};

use super::adopted::{Adopted, adopt_from_now_on};
use super::console::Console;
use super::orphans::reap_from_now_on;
use super::runtime::{Runtime, fresh};
use crate::stdio::{Stdio, Urls};
use crate::unread::Unread;

#[derive(Debug)]
pub struct Process {
    child: Adopted,
    stdio: Mutex<Option<Stdio>>,
    unread: Unread,
}

impl Process {
    /// Opens the streams and has the runtime start a process with them, by these words of its command line. `name` and
    /// `namespace` are told to a logging binary.
    pub async fn start(
        runtime: &Runtime,
        words: &[&OsStr],
        urls: &Urls,
        name: &str,
        namespace: &str,
    ) -> Result<Process> {
        adopt_from_now_on()?;
        reap_from_now_on();
        let (mut stdio, stdin) = Stdio::open_for_native(urls, name, namespace).await?;
        let pid_file = runtime.room.file(fresh("pid"));
        let console = match urls.terminal {
            true => Some(Console::at(runtime.room.file(fresh("pty")))?),
            false => None,
        };
        let mut words = words.to_vec();
        words.extend([OsStr::new("--pid-file"), pid_file.as_os_str()]);
        let streams = match &console {
            Some(console) => {
                words.extend([OsStr::new("--console-socket"), console.path().as_os_str()]);
                [None; 3]
            }
            None => stdio.guest(),
        };
        runtime.call(&words, &[], streams).await?;
        let pid = fs::read_to_string(&pid_file).context("the runtime tells of no process")?;
        drop(fs::remove_file(&pid_file));
        let child = Adopted::new(pid.trim().parse().context("the runtime tells of no process")?)?;
        if let Some(console) = console
            && let Err(error) =
                console.terminal().await.and_then(|terminal| stdio.give_terminal(terminal, stdin))
        {
            child.signal(libc::SIGKILL)?;
            child.code().await;
            return Err(error);
        }
        Ok(Process { child, stdio: Mutex::new(Some(stdio)), unread: Unread::default() })
    }

    pub fn pid(&self) -> u32 {
        self.child.pid().unsigned_abs()
    }

    /// Sends a signal; one that has ended hears nothing.
    pub fn signal(&self, number: i32) -> Result<()> {
        self.child.signal(number)
    }

    /// Waits for the end and reaps it: its exit code. The streams stay open: see [`Process::close`].
    pub async fn code(&self) -> u32 {
        self.child.code().await
    }

    /// Closes the streams of a process that has ended.
    pub async fn close(&self) {
        let stdio = lock(&self.stdio).take();
        if let Some(stdio) = stdio {
            stdio.close(&self.unread).await;
        }
    }

    /// Tells the terminal its size, in characters. One that is gone with its process has none.
    pub fn resize(&self, width: u32, height: u32) -> Result<()> {
        lock(&self.stdio).as_ref().map_or(Ok(()), |stdio| stdio.resize(width, height))
    }

    /// Tells the process that nothing more comes from stdin.
    pub fn close_stdin(&self) -> Result<()> {
        lock(&self.stdio).as_ref().map_or(Ok(()), Stdio::close_stdin)
    }

    /// What is left of its output after its end.
    pub fn unread(&self) -> &Unread {
        &self.unread
    }

    /// Gives up output that nobody has read.
    pub async fn clean(&self) {
        self.unread.forget().await;
    }
}

/// Nothing is computed under these locks: what a panic would leave is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
