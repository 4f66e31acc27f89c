//! Build commands.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Error, Result, anyhow};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// How much of what a command says is kept: the end of each stream, in bytes.
const MAX_OUTPUT: usize = 64 << 10;

/// How a command failed, and what it said.
#[derive(Debug)]
pub struct Failure {
    /// Its stdout, then its stderr.
    pub output: String,
    pub error: Error,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { output: String::new(), error }
    }
}

/// Ends a command with all that it has started, when it is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // There is nobody to end where all of it has ended by itself.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs `command` by the shell in `folder`, with `SOURCE_DATE_EPOCH`. When the future is dropped, it is killed, and so is what
/// it has started.
///
/// # Errors
/// [`Failure`], also when it ends with another code than 0.
pub async fn run(command: &str, folder: &Path, created: u64) -> Result<(), Failure> {
    let shown = || format!("`{}` in {}", command.escape_debug(), folder.display());
    let mut command_line = Command::new("sh");
    command_line
        .args(["-c", command])
        .current_dir(folder)
        .env("SOURCE_DATE_EPOCH", created.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = spawn(&mut command_line).with_context(|| format!("cannot run {}", shown()))?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr, status) = tokio::join!(tail(stdout), tail(stderr), child.wait());
    group.0 = None;
    let status = status.with_context(|| format!("cannot wait for {}", shown()))?;
    if status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    Err(Failure { output, error: anyhow!("{} failed: {status}", shown()) })
}

/// Starts a command that has nobody to ask. A process group in the background of a terminal is stopped when it reads from that,
/// and nobody would continue it: with these signals blocked, which the command inherits, it is told that it cannot read.
fn spawn(command: &mut Command) -> Result<Child> {
    let asking = SigSet::from_iter([Signal::SIGTTIN, Signal::SIGTTOU]);
    let before = asking.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = command.spawn();
    before.thread_set_mask()?;
    Ok(spawned?)
}

/// The end of all that comes. What cannot be read was not said.
async fn tail(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut from) = from else { return kept };
    let mut piece = [0; 8192];
    while let Ok(read) = from.read(&mut piece).await {
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        kept.extend_from_slice(bytes);
        if let Some(more) = kept.len().checked_sub(MAX_OUTPUT) {
            kept.drain(..more);
        }
    }
    kept
}
