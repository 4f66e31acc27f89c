//! The shim without containerd: its task service, called as containerd calls it.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use containerd_shim_protos::api::{
    CreateTaskRequest, CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, KillRequest,
    ShutdownRequest, StartRequest, StartResponse, WaitRequest, WaitResponse,
};
use protobuf::well_known_types::any::Any;
use protobuf::{CodedOutputStream, Message};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use ttrpc::Request;
use ttrpc::asynchronous::Client;
use ttrpc::proto::KeyValue;

use crate::environment::{guest, shim_binary};
use crate::mode;
use crate::nest::Nest;
use crate::patience::here;
use crate::run::{Outcome, output_of};

/// The names under which containerd calls the task service: 1.7 the one, 2.x the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    V2,
    V3,
}

impl Generation {
    fn service(self) -> &'static str {
        match self {
            Generation::V2 => "containerd.task.v2.Task",
            Generation::V3 => "containerd.task.v3.Task",
        }
    }
}

/// The file of a node config in a bundle.
const NODE_CONFIG: &str = "node.toml";

/// How long an answer may take, in seconds.
const PATIENCE: u64 = 120;

/// A bundle as containerd would have made it, in the nest's folder: `config.json` and `rootfs`.
#[derive(Debug)]
pub struct Bundle<'a> {
    nest: &'a Nest,
    id: String,
    path: PathBuf,
    spec: Value,
    config: Option<PathBuf>,
    environment: Vec<String>,
    stdin: Option<PathBuf>,
}

impl<'a> Bundle<'a> {
    /// A container that runs a guest of test-images.
    pub fn of(nest: &'a Nest, id: &str, file: &str) -> Result<Bundle<'a>> {
        Bundle::bytes(nest, id, file, &guest(file)?)
    }

    /// A container that runs a file of any content.
    pub fn bytes(nest: &'a Nest, id: &str, file: &str, bytes: &[u8]) -> Result<Bundle<'a>> {
        let spec = json!({
            "ociVersion": "1.1.0",
            "process": {"user": {"uid": 0, "gid": 0}, "args": [format!("/{file}")], "cwd": "/"},
            "root": {"path": "rootfs", "readonly": true},
            "linux": {"cgroupsPath": format!("/{}/{id}", nest.name()), "namespaces": [{"type": "network"}]},
        });
        let bundle = Bundle::new(nest, id, nest.folder().join("bundles").join(id), spec)?;
        let bundle = if mode::is_shared() { bundle.config("")? } else { bundle };
        fs::write(bundle.rootfs().join(file), bytes)?;
        bundle.write(bundle.spec.to_string().as_bytes())?;
        Ok(bundle)
    }

    fn new(nest: &'a Nest, id: &str, path: PathBuf, spec: Value) -> Result<Bundle<'a>> {
        let (id, environment) = (id.to_owned(), Vec::new());
        let bundle = Bundle { nest, id, path, spec, config: None, environment, stdin: None };
        fs::create_dir_all(bundle.rootfs())?;
        Ok(bundle)
    }

    /// A sandbox as containerd makes it for the sandbox service: without a spec, in a folder of its own kind.
    pub fn sandbox(nest: &'a Nest, id: &str) -> Result<Bundle<'a>> {
        let folder = nest.folder().join("io.containerd.sandbox.controller.v1.shim").join(nest.name());
        let bundle = Bundle::new(nest, id, folder.join(id), Value::Null)?;
        if mode::is_shared() { bundle.config("") } else { Ok(bundle) }
    }

    /// A container of the pod whose sandbox that is, with a guest of test-images.
    pub fn of_pod(nest: &'a Nest, id: &str, file: &str, sandbox: &str) -> Result<Bundle<'a>> {
        let mut bundle = Bundle::of(nest, id, file)?;
        let path = nest.folder().join("io.containerd.runtime.v2.task").join(nest.name()).join(id);
        fs::create_dir_all(path.parent().context("a bundle in no folder")?)?;
        fs::rename(&bundle.path, &path)?;
        bundle.config = bundle.config.map(|_| path.join(NODE_CONFIG));
        bundle.path = path;
        bundle.spec(|spec| {
            spec["annotations"] = json!({
                "io.kubernetes.cri.container-type": "container",
                "io.kubernetes.cri.sandbox-id": sandbox,
            });
        })
    }

    /// Changes the spec.
    pub fn spec(mut self, change: impl FnOnce(&mut Value)) -> Result<Bundle<'a>> {
        change(&mut self.spec);
        self.write(self.spec.to_string().as_bytes())?;
        Ok(self)
    }

    /// Gives the container a node config of its own, by containerd's runtime options.
    pub fn config(mut self, toml: &str) -> Result<Bundle<'a>> {
        let file = self.path.join(NODE_CONFIG);
        fs::write(&file, mode::config(Some(toml)).unwrap_or_default())?;
        self.config = Some(file);
        Ok(self)
    }

    /// Adds `NAME=value` to the environment that the shim is started in.
    pub fn environment(mut self, variable: &str) -> Bundle<'a> {
        self.environment.push(variable.to_owned());
        self
    }

    /// What the container reads from stdin, from a file.
    pub fn stdin(mut self, bytes: &[u8]) -> Result<Bundle<'a>> {
        let file = self.path().join("input");
        fs::write(&file, bytes)?;
        self.stdin = Some(file);
        Ok(self)
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Replaces `config.json` by any bytes.
    pub fn write(&self, config: &[u8]) -> Result<()> {
        fs::create_dir_all(self.path())?;
        Ok(fs::write(self.path().join("config.json"), config)?)
    }

    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Calls the shim's program for this bundle: `start` or `delete`. Like containerd's, its stdin has the options.
    pub fn call(&self, action: &str) -> Result<Outcome> {
        let mut command = self.nest.command("env");
        command.arg("--chdir").arg(self.path()).args(&self.environment).arg(shim_binary()?);
        command.args(["-namespace", self.nest.name(), "-id", &self.id, "-address", "", action]);
        let options = self.options()?.map(|options| options.write_to_bytes()).transpose()?;
        output_of(command, options.filter(|_| action == "start"))
    }

    fn options(&self) -> Result<Option<Any>> {
        self.config.as_deref().map(options).transpose()
    }

    /// Starts the shim.
    pub fn shim(&self, generation: Generation) -> Result<Shim<'_>> {
        let start = self.call("start")?;
        let Some(socket) = start.stdout.strip_prefix("unix://").filter(|_| start.code == 0) else {
            bail!("the shim does not start: {}", start.stderr.trim());
        };
        let seen = self.nest.see(Path::new(socket));
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let address = format!("unix://{}", seen.display());
        let client = tokio.block_on(Client::connect(&address)).context("cannot reach the shim")?;
        Ok(Shim { bundle: self, generation, client, tokio, socket: seen })
    }
}

/// What containerd sends for `ConfigPath` of a runtime: `runtimeoptions.v1.Options` with its second field.
fn options(config: &Path) -> Result<Any> {
    let mut value = Vec::new();
    let mut stream = CodedOutputStream::vec(&mut value);
    stream.write_string(2, &config.display().to_string())?;
    stream.flush()?;
    drop(stream);
    Ok(Any { type_url: "runtimeoptions.v1.Options".into(), value, ..Any::default() })
}

/// A shim that serves one bundle. Whoever does not end it by [`Shim::shutdown`] leaves it to the nest.
pub struct Shim<'a> {
    bundle: &'a Bundle<'a>,
    generation: Generation,
    client: Client,
    tokio: Runtime,
    /// Its address.
    socket: PathBuf,
}

impl Shim<'_> {
    /// Calls any method of the task service. An error is the status that was answered.
    pub fn call<R: Message, A: Message>(&self, method: &str, request: &R) -> Result<A> {
        self.request(self.generation.service(), method, request)
    }

    /// Calls any method of the sandbox service.
    pub fn call_sandbox<R: Message, A: Message>(&self, method: &str, request: &R) -> Result<A> {
        self.request("containerd.runtime.sandbox.v1.Sandbox", method, request)
    }

    /// Asks for the container on a connection that breaks before there is an answer, as that of a containerd that is killed.
    pub fn create_and_hang_up(&self) -> Result<()> {
        let request = self.message(self.generation.service(), "Create", &self.create_request()?)?;
        let payload = request.write_to_bytes()?;
        // ttrpc's header: length of the message, number of the stream, type (a request), flags.
        let mut message = u32::try_from(payload.len())?.to_be_bytes().to_vec();
        message.extend([0, 0, 0, 1, 1, 0]);
        message.extend(payload);
        Ok(self.connect()?.write_all(&message)?)
    }

    /// A connection of one's own to its socket.
    pub fn connect(&self) -> Result<UnixStream> {
        UnixStream::connect(&self.socket).context("cannot reach the shim")
    }

    fn message<R: Message>(&self, service: &str, method: &str, request: &R) -> Result<Request> {
        Ok(Request {
            service: service.to_owned(),
            method: method.to_owned(),
            timeout_nano: i64::try_from(Duration::from_secs(here(PATIENCE)).as_nanos())?,
            metadata: vec![KeyValue {
                key: "containerd-namespace-ttrpc".to_owned(),
                value: self.bundle.nest.name().to_owned(),
                ..KeyValue::default()
            }],
            payload: request.write_to_bytes()?,
            ..Request::default()
        })
    }

    fn request<R: Message, A: Message>(&self, service: &str, method: &str, request: &R) -> Result<A> {
        let request = self.message(service, method, request)?;
        let response = self.tokio.block_on(self.client.request(request)).map_err(|error| match error {
            ttrpc::Error::RpcStatus(status) => {
                anyhow::anyhow!("{:?}: {}", status.code.enum_value_or_default(), status.message)
            }
            error => anyhow::Error::new(error).context(format!("{method} of {}", self.bundle.id)),
        })?;
        Ok(A::parse_from_bytes(&response.payload)?)
    }

    /// What the container has written so far, stdout and stderr in one.
    pub fn output(&self) -> String {
        fs::read_to_string(self.output_file()).unwrap_or_default()
    }

    fn output_file(&self) -> PathBuf {
        self.bundle.path().join("output")
    }

    pub fn create(&self) -> Result<u32> {
        Ok(self.call::<_, CreateTaskResponse>("Create", &self.create_request()?)?.pid)
    }

    fn create_request(&self) -> Result<CreateTaskRequest> {
        let output = self.output_file().display().to_string();
        Ok(CreateTaskRequest {
            id: self.bundle.id.clone(),
            bundle: self.bundle.path().display().to_string(),
            stdin: self.bundle.stdin.iter().map(|file| file.display().to_string()).collect(),
            stdout: output.clone(),
            stderr: output,
            options: self.bundle.options()?.into(),
            ..CreateTaskRequest::default()
        })
    }

    pub fn start(&self) -> Result<()> {
        let request = StartRequest { id: self.bundle.id.clone(), ..StartRequest::default() };
        self.call::<_, StartResponse>("Start", &request).map(drop)
    }

    pub fn kill(&self, signal: u32) -> Result<()> {
        let request = KillRequest { id: self.bundle.id.clone(), signal, ..KillRequest::default() };
        self.call::<_, Empty>("Kill", &request).map(drop)
    }

    /// Waits for the end; the exit code.
    pub fn wait(&self) -> Result<u32> {
        let request = WaitRequest { id: self.bundle.id.clone(), ..WaitRequest::default() };
        Ok(self.call::<_, WaitResponse>("Wait", &request)?.exit_status)
    }

    pub fn delete(&self) -> Result<u32> {
        let request = DeleteRequest { id: self.bundle.id.clone(), ..DeleteRequest::default() };
        Ok(self.call::<_, DeleteResponse>("Delete", &request)?.exit_status)
    }

    /// All of a life: the exit code.
    pub fn run(&self) -> Result<u32> {
        self.create()?;
        self.start()?;
        let code = self.wait()?;
        self.delete()?;
        Ok(code)
    }

    /// Gives up before the container was created, as containerd does.
    pub fn abandon(self) -> Result<()> {
        let delete = self.bundle.call("delete")?;
        anyhow::ensure!(delete.code == 0, "{delete}");
        self.shutdown()
    }

    /// Asks the shim to end, as containerd does after the last delete, and removes the bundle. A manager stays.
    pub fn shutdown(self) -> Result<()> {
        let request = ShutdownRequest { id: self.bundle.id.clone(), ..ShutdownRequest::default() };
        // The shim may be gone before its answer is read.
        drop(self.call::<_, Empty>("Shutdown", &request));
        Ok(fs::remove_dir_all(self.bundle.path())?)
    }
}
