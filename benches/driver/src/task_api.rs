//! The task API alone: a shim is started as containerd starts it, and then spoken to directly.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use containerd_shim_protos::Client;
use containerd_shim_protos::api::{
    ConnectRequest, ConnectResponse, CreateTaskRequest, CreateTaskResponse, DeleteRequest, DeleteResponse,
    Empty, Mount, ShutdownRequest, StartRequest, StartResponse, WaitRequest, WaitResponse,
};
use protobuf::Message;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::containerd::{ADDRESS, ctr};
use crate::peer::Peer;

const NAMESPACE: &str = "CONTAINERD_NAMESPACE";

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the life of a container takes through the task API, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// `shim start`, until its address is there.
    pub shim: f64,
    /// From sending Create to its answer.
    pub create: f64,
    /// From sending Create to the first byte that the guest writes.
    pub first_byte: f64,
    /// From sending Delete to its answer.
    pub delete: f64,
}

/// Starts a shim as containerd does and runs a container in it. The container is a real one in containerd's books (a shim
/// looks it up there).
pub fn run(peer: Peer, program: &str, id: &str) -> Result<Times> {
    let image = peer.image(program);
    let create = ["containers", "create"].into_iter().chain(peer.flags().iter().copied());
    ctr(create.chain([image.as_str(), id]))?;
    let bundle = Bundle::make(id)?;
    let begin = Instant::now();
    let shim = Shim::start(peer, &bundle)?;
    let started = milliseconds(begin);
    let (create, first_byte) = bundle.run(&shim)?;
    let delete = shim.end(id)?;
    ctr(["containers", "rm", id])?;
    Ok(Times { shim: started, create, first_byte, delete })
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The folder of a container, as containerd lays it out.
struct Bundle {
    id: String,
    namespace: String,
    folder: tempfile::TempDir,
    stdout: File,
    _stderr: File,
    _log: File,
    rootfs: Vec<Mount>,
}

impl Bundle {
    fn make(id: &str) -> Result<Bundle> {
        let folder = tempfile::TempDir::new_in("/run")?;
        let info: serde_json::Value = serde_json::from_str(&ctr(["containers", "info", id])?)?;
        let spec = info.get("Spec").context("ctr containers info shows no Spec")?;
        fs::write(folder.path().join("config.json"), serde_json::to_vec(spec)?)?;
        fs::create_dir(folder.path().join("rootfs"))?;
        Ok(Bundle {
            id: id.to_owned(),
            namespace: std::env::var(NAMESPACE).unwrap_or_else(|_| "default".to_owned()),
            stdout: fifo(&folder.path().join("stdout"))?,
            _stderr: fifo(&folder.path().join("stderr"))?,
            _log: fifo(&folder.path().join("log"))?,
            rootfs: vec![mount(&ctr(["snapshots", "mounts", "TARGET", id])?)?],
            folder,
        })
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Times from sending Create: to its answer, and to the first byte out.
    fn run(&self, shim: &Shim) -> Result<(f64, f64)> {
        let create = CreateTaskRequest {
            id: self.id.clone(),
            bundle: self.folder.path().display().to_string(),
            rootfs: self.rootfs.clone(),
            stdout: self.path("stdout"),
            stderr: self.path("stderr"),
            ..Default::default()
        };
        let start = StartRequest { id: self.id.clone(), ..Default::default() };
        let begin = Instant::now();
        shim.call::<CreateTaskResponse>("Create", &create)?;
        let created = milliseconds(begin);
        shim.call::<StartResponse>("Start", &start)?;
        let mut first = [0];
        (&self.stdout).read_exact(&mut first).context("no output")?;
        Ok((created, milliseconds(begin)))
    }
}

/// A FIFO, opened so that both its ends exist.
fn fifo(path: &Path) -> Result<File> {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
    Ok(OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::CLOEXEC.bits().cast_signed())
        .open(path)?)
}

/// Reads what `ctr snapshots mounts` prints: `mount -t TYPE SOURCE TARGET -o OPTION,...`.
fn mount(line: &str) -> Result<Mount> {
    let words: Vec<_> = line.split_whitespace().collect();
    let ["mount", "-t", kind, source, _, "-o", options] = words.as_slice() else {
        bail!("ctr prints a mount in a form that is not known here: {line:?}")
    };
    Ok(Mount {
        type_: (*kind).to_owned(),
        source: (*source).to_owned(),
        options: options.split(',').map(str::to_owned).collect(),
        ..Default::default()
    })
}

/// A running shim.
struct Shim {
    client: Client,
    service: &'static str,
}

impl Shim {
    fn start(peer: Peer, bundle: &Bundle) -> Result<Shim> {
        let output = Command::new(peer.shim())
            .args(["-namespace", &bundle.namespace, "-address", ADDRESS, "-publish-binary", "containerd"])
            .args(["-id", &bundle.id, "start"])
            .env("TTRPC_ADDRESS", format!("{ADDRESS}.ttrpc"))
            .env("GRPC_ADDRESS", ADDRESS)
            .env("NAMESPACE", &bundle.namespace)
            .env("MAX_SHIM_VERSION", "2")
            .current_dir(bundle.folder.path())
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", peer.shim()))?;
        let said = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "start failed: {said} {}", String::from_utf8_lossy(&output.stderr));
        let (address, service) = reply(&said)?;
        let client =
            Client::connect(&address).with_context(|| format!("cannot reach the shim at {address}"))?;
        Ok(Shim { client, service })
    }

    fn call<R: Message>(&self, method: &str, message: &impl Message) -> Result<R> {
        let request = ttrpc::Request {
            service: self.service.to_owned(),
            method: method.to_owned(),
            timeout_nano: i64::try_from(PATIENCE.as_nanos())?,
            payload: message.write_to_bytes()?,
            ..Default::default()
        };
        let response = self.client.request(request).with_context(|| format!("{method} failed"))?;
        Ok(R::parse_from_bytes(&response.payload)?)
    }

    /// Waits for the container's end, deletes it, and sees the shim go. Returns what Delete took.
    fn end(self, id: &str) -> Result<f64> {
        let wait = WaitRequest { id: id.to_owned(), ..Default::default() };
        let end = self.call::<WaitResponse>("Wait", &wait)?;
        ensure!(end.exit_status == 0, "the guest ended with {}", end.exit_status);
        let connect = ConnectRequest { id: id.to_owned(), ..Default::default() };
        let pid = self.call::<ConnectResponse>("Connect", &connect)?.shim_pid;
        let delete = DeleteRequest { id: id.to_owned(), ..Default::default() };
        let begin = Instant::now();
        self.call::<DeleteResponse>("Delete", &delete)?;
        let deleted = milliseconds(begin);
        let shutdown = ShutdownRequest { id: id.to_owned(), ..Default::default() };
        // A shim may be gone before it has answered.
        let _ = self.call::<Empty>("Shutdown", &shutdown);
        let begin = Instant::now();
        while PathBuf::from(format!("/proc/{pid}/exe")).read_link().is_ok() {
            ensure!(begin.elapsed() < PATIENCE, "the shim stays after its last task");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(deleted)
    }
}

/// The address in a shim's reply, and the name of its task service: a plain address means the second generation, JSON
/// says which.
fn reply(said: &str) -> Result<(String, &'static str)> {
    if !said.trim_start().starts_with('{') {
        return Ok((said.trim().to_owned(), "containerd.task.v2.Task"));
    }
    let reply: serde_json::Value = serde_json::from_str(said)?;
    let address = reply.get("address").and_then(|address| address.as_str());
    let address = address.context("the shim's reply has no address")?.to_owned();
    match reply.get("version").and_then(|version| version.as_u64()) {
        Some(2) => Ok((address, "containerd.task.v2.Task")),
        Some(3) => Ok((address, "containerd.task.v3.Task")),
        _ => bail!("the shim speaks a task service that is not known here: {said}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{mount, reply};

    #[test]
    fn both_forms_of_a_reply_are_read() {
        assert_eq!(reply("unix:///a").unwrap(), ("unix:///a".to_owned(), "containerd.task.v2.Task"));
        let json = r#"{"version":3,"address":"unix:///b","protocol":"ttrpc"}"#;
        assert_eq!(reply(json).unwrap(), ("unix:///b".to_owned(), "containerd.task.v3.Task"));
    }

    #[test]
    fn a_mount_is_read_from_the_command_that_would_make_it() {
        let read = mount("mount -t overlay overlay TARGET -o workdir=/w,upperdir=/u\n").unwrap();
        assert_eq!((read.type_.as_str(), read.source.as_str()), ("overlay", "overlay"));
        assert_eq!(read.options, ["workdir=/w", "upperdir=/u"]);
    }
}
