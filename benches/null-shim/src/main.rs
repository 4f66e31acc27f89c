//! `containerd-shim-null-v2`: answers containerd and runs nothing. What `ctr run` takes with it is the floor: the time
//! of ctr, of containerd and of one forked process, which every shim pays.
//!
//! It starts as `containerd-shim-run-v2` does (bind, fork, print the address), so that the two differ only in what they
//! do with a container.

mod fork;
mod service;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use fork::{Side, fork};

/// Where containerd expects the sockets of shims.
const SOCKETS: &str = "/run/containerd/s";

/// The annotation by which CRI groups the containers of a pod.
const SANDBOX: &str = "io.kubernetes.cri.sandbox-id";

/// containerd's call: `-namespace NS -address GRPC -publish-binary PATH -id ID [-bundle PATH] start|delete`.
struct Call {
    action: String,
    id: String,
    namespace: String,
}

impl Call {
    fn read() -> Result<Call> {
        let mut call = Call { action: String::new(), id: String::new(), namespace: String::new() };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "-namespace" => call.namespace = args.next().context("-namespace needs a value")?,
                "-id" => call.id = args.next().context("-id needs a value")?,
                "-address" | "-publish-binary" | "-bundle" => drop(args.next()),
                "-debug" => {}
                _ => call.action = arg,
            }
        }
        Ok(call)
    }

    /// The socket of the shim for a container, or for the pod of that sandbox.
    fn socket(&self, id: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (&self.namespace, id).hash(&mut hasher);
        Path::new(SOCKETS).join(format!("null-{:016x}", hasher.finish()))
    }
}

fn main() -> Result<()> {
    let call = Call::read()?;
    match call.action.as_str() {
        "start" => start(&call),
        // An empty DeleteResponse is no bytes at all.
        "delete" => Ok(()),
        other => anyhow::bail!("unknown action {other:?}: containerd calls `start` or `delete`"),
    }
}

fn start(call: &Call) -> Result<()> {
    let sandbox = sandbox()?;
    if let Some(sandbox) = sandbox.filter(|sandbox| *sandbox != call.id) {
        return reply(&call.socket(&sandbox));
    }
    fs::create_dir_all(SOCKETS)?;
    let socket = call.socket(&call.id);
    let listener =
        UnixListener::bind(&socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    match fork()? {
        Side::Parent => reply(&socket),
        Side::Child => {
            leave_the_caller()?;
            let result = service::run(listener);
            fs::remove_file(&socket)?;
            result
        }
    }
}

/// The sandbox of the pod whose container containerd starts; none under `ctr run`. The bundle is the current folder.
fn sandbox() -> Result<Option<String>> {
    let spec: serde_json::Value =
        serde_json::from_slice(&fs::read("config.json").context("the bundle has no config.json")?)?;
    let sandbox = spec.get("annotations").and_then(|annotations| annotations.get(SANDBOX));
    Ok(sandbox.and_then(|sandbox| sandbox.as_str()).map(str::to_owned))
}

/// Tells containerd where the shim listens.
fn reply(socket: &Path) -> Result<()> {
    let address = format!("unix://{}", socket.display());
    fs::write("address", &address).context("cannot write the address into the bundle")?;
    let mut stdout = io::stdout();
    stdout.write_all(address.as_bytes())?;
    Ok(stdout.flush()?)
}

/// containerd reads `start`'s stdout and stderr to their end: the shim must not hold them.
fn leave_the_caller() -> Result<()> {
    rustix::process::setsid()?;
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(std::env::set_current_dir("/")?)
}
