//! The shim, started and called as containerd starts and calls it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use containerd_shim_protos::api::{
    CloseIORequest, CreateTaskRequest, DeleteRequest, KillRequest, ResizePtyRequest, ShutdownRequest,
    StartRequest, WaitRequest,
};
use containerd_shim_protos::bootstrap_api::{BootstrapParams, Extension};
use containerd_shim_protos::shim_async::{Client, TaskClient};
use protobuf::well_known_types::any::Any;
use protobuf::{CodedOutputStream, Message, MessageField};
use ttrpc::context::Context as Call;

use super::channel::Size;
use super::streams::Streams;

/// containerd's namespace, and the id of the one container in it.
const NAMESPACE: &str = "local";
const ID: &str = "run";

/// How long the shim may take for what takes no time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A task of a shim that has no other.
pub struct Task(TaskClient);

impl Task {
    /// Starts a shim for the bundle, with this node config.
    pub async fn begin(shim: &Path, bundle: &Path, config: &str) -> Result<Task> {
        let params = BootstrapParams {
            instance_id: ID.into(),
            namespace: NAMESPACE.into(),
            socket_dir: bundle.parent().and_then(Path::to_str).map(String::from),
            extensions: vec![Extension {
                value: MessageField::some(options(config)?),
                ..Extension::default()
            }],
            ..BootstrapParams::default()
        };
        let mut command = Command::new(shim);
        command.args(["-namespace", NAMESPACE, "-id", ID, "start"]).current_dir(bundle).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = || format!("cannot start the shim {}", shim.display());
        let mut child = command.spawn().with_context(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(&params.write_to_bytes()?).with_context(failed)?;
        }
        let output = child.wait_with_output().with_context(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim();
            bail!("{}", said.strip_prefix("containerd-shim-run-v2: ").unwrap_or(said));
        }
        let address = String::from_utf8_lossy(&output.stdout);
        let client = Client::connect(address.trim()).await.context("cannot reach the shim")?;
        Ok(Task(TaskClient::new(client)))
    }

    /// Creates the container; an error is the sentence for whoever asked for it.
    pub async fn create(&self, bundle: &Path, config: &str, streams: &Streams) -> Result<()> {
        let path = |path: &Path| path.display().to_string();
        let request = CreateTaskRequest {
            id: ID.into(),
            bundle: path(bundle),
            terminal: streams.stderr.is_none(),
            stdin: path(&streams.stdin),
            stdout: path(&streams.stdout),
            stderr: streams.stderr.as_deref().map(path).unwrap_or_default(),
            options: MessageField::some(options(config)?),
            ..CreateTaskRequest::default()
        };
        // A large component is compiled for as long as the node config lets it.
        self.0.create(call(None), &request).await.map(drop).map_err(|error| sentence(&error))
    }

    pub async fn start(&self) -> Result<()> {
        let request = StartRequest { id: ID.into(), ..StartRequest::default() };
        self.0.start(call(None), &request).await.map(drop).map_err(|error| sentence(&error))
    }

    /// Waits for the end; the exit code.
    pub async fn wait(&self) -> Result<u32> {
        let request = WaitRequest { id: ID.into(), ..WaitRequest::default() };
        let end = self.0.wait(call(None), &request).await;
        end.map(|end| end.exit_status).context("the shim went away")
    }

    /// Sends a signal. Whoever has ended needs none.
    pub async fn kill(&self, signal: i32) {
        let signal = signal.unsigned_abs();
        let request = KillRequest { id: ID.into(), signal, ..KillRequest::default() };
        drop(self.0.kill(call(Some(PATIENCE)), &request).await);
    }

    /// Tells the terminal its size. One that has gone needs none.
    pub async fn resize(&self, Size { width, height }: Size) {
        let (width, height) = (width.into(), height.into());
        let request = ResizePtyRequest { id: ID.into(), width, height, ..ResizePtyRequest::default() };
        drop(self.0.resize_pty(call(Some(PATIENCE)), &request).await);
    }

    /// Nothing more comes from stdin.
    pub async fn close_stdin(&self) {
        let request = CloseIORequest { id: ID.into(), stdin: true, ..CloseIORequest::default() };
        drop(self.0.close_io(call(Some(PATIENCE)), &request).await);
    }

    /// Takes the container away, and the shim.
    pub async fn end(&self) -> Result<()> {
        let delete = DeleteRequest { id: ID.into(), ..DeleteRequest::default() };
        let deleted = self.0.delete(call(Some(PATIENCE)), &delete).await;
        let shutdown = ShutdownRequest { id: ID.into(), ..ShutdownRequest::default() };
        // It may be gone before its answer is read.
        drop(self.0.shutdown(call(Some(PATIENCE)), &shutdown).await);
        deleted.map(drop).map_err(|error| sentence(&error))
    }
}

fn call(patience: Option<Duration>) -> Call {
    let nanoseconds = patience.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
    let mut call = ttrpc::context::with_timeout(nanoseconds);
    call.add("containerd-namespace-ttrpc".into(), NAMESPACE.into());
    call
}

/// What the shim said, without the protocol's words around it.
fn sentence(error: &ttrpc::Error) -> anyhow::Error {
    match error {
        ttrpc::Error::RpcStatus(status) => anyhow!("{}", status.message),
        error => anyhow!("the shim went away: {error}"),
    }
}

/// A node config as containerd passes it on: `runtimeoptions.v1.Options` with a body.
fn options(config: &str) -> Result<Any> {
    const BODY: u32 = 3;
    let mut value = Vec::new();
    let mut stream = CodedOutputStream::vec(&mut value);
    stream.write_bytes(BODY, config.as_bytes())?;
    stream.flush()?;
    drop(stream);
    Ok(Any { type_url: "runtimeoptions.v1.Options".into(), value, ..Any::default() })
}
