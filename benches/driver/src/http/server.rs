//! A server that listens on the loopback address, whoever runs it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Kind;
use crate::containerd::ctr;
use crate::crowd::{MACHINES_NETWORK, remove};
use crate::options::Options;
use crate::peer::Peer;

/// How long a server may take until it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many instances at a time, and so long for an answer, in seconds: what `wasmtime serve` does by itself, and what it is told.
const INSTANCES: u32 = 1000;
const TIMEOUT: u32 = 60;

/// Who runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    Runtime(Peer),
    WasmtimeServe,
}

impl Who {
    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Who::Runtime(peer) => peer.name(),
            Who::WasmtimeServe => "serve",
        }
    }
}

/// A server at work.
pub struct Server {
    who: Who,
    port: u16,
    process: Process,
}

enum Process {
    Container(String),
    Child(Child),
}

impl Server {
    pub fn start(who: Who, kind: Kind, port: u16, options: &Options) -> Result<Server> {
        let id = format!("{}-{}", who.name(), kind.name.replace('_', "-"));
        Server::named(&id, who, kind, port, options)
    }

    /// One whose container has this id. Returns when it accepts connections.
    pub fn named(id: &str, who: Who, kind: Kind, port: u16, options: &Options) -> Result<Server> {
        let process = match who {
            Who::Runtime(peer) => container(peer, kind, port, id),
            Who::WasmtimeServe => child(id, kind, port, options).map(Process::Child),
        };
        let process = process.with_context(|| format!("cannot start {id}"))?;
        let server = Server { who, port, process };
        server.await_listener()?;
        Ok(server)
    }

    pub fn who(&self) -> Who {
        self.who
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn await_listener(&self) -> Result<()> {
        let (begin, address) = (Instant::now(), SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        while TcpStream::connect(address).is_err() {
            if begin.elapsed() > PATIENCE {
                bail!("{} does not listen at {address}", self.who.name());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends it and takes it away.
    pub fn stop(self) -> Result<()> {
        match self.process {
            Process::Container(id) => remove(&[id]),
            Process::Child(mut child) => {
                child.kill()?;
                child.wait()?;
                Ok(())
            }
        }
    }
}

/// A container in the machine's own network.
fn container(peer: Peer, kind: Kind, port: u16, id: &str) -> Result<Process> {
    let mut words: Vec<String> =
        ["run", "--detach", "--null-io", "--with-ns", MACHINES_NETWORK].map(str::to_owned).into();
    words.extend(peer.flags().iter().map(|flag| (*flag).to_owned()));
    let annotations = [
        ("http-port", u32::from(port)),
        ("http-reuse", kind.reuse),
        ("http-concurrency", kind.at_once),
        ("http-max-instances", INSTANCES),
    ];
    match peer {
        Peer::Runwasi => {
            words.extend(["--env".to_owned(), format!("WASMTIME_HTTP_PROXY_SOCKET_ADDR=127.0.0.1:{port}")]);
        }
        _ => {
            for (name, value) in annotations {
                words.extend(["--annotation".to_owned(), format!("run.wasm/{name}={value}")]);
            }
            words.extend(["--annotation".to_owned(), format!("run.wasm/http-timeout={TIMEOUT}s")]);
        }
    }
    words.extend([peer.image(kind.program), id.to_owned()]);
    ctr(&words)?;
    Ok(Process::Container(id.to_owned()))
}

/// `wasmtime serve` with what ours has: a pool of instances, and a limit of time, for which code has to look up now and then.
/// It has a cgroup of its own, as containers have: the kernel shares processors between groups in another way than within one.
fn child(id: &str, kind: Kind, port: u16, options: &Options) -> Result<Child> {
    let guest = options.folder.join(format!("guests/{}.wasm", kind.program));
    let mut wasmtime = Command::new("wasmtime");
    wasmtime
        .args([
            "serve",
            "-S",
            "cli",
            "-O",
            "pooling-allocator=y",
            "-W",
            &format!("timeout={TIMEOUT}s"),
            "--no-logging-prefix",
        ])
        .args(["--addr", &format!("127.0.0.1:{port}")])
        .args(["--max-instance-reuse-count", &kind.reuse.to_string()])
        .args(["--max-instance-concurrent-reuse-count", &kind.at_once.to_string()])
        .arg(guest);
    wasmtime.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let child = wasmtime.spawn().context("cannot run wasmtime")?;
    enter_cgroup(id, child.id())?;
    Ok(child)
}

/// Moves a process to a cgroup of this name beside those of the containers, in each hierarchy that they have one in.
fn enter_cgroup(name: &str, pid: u32) -> Result<()> {
    let parent = std::env::var("CONTAINERD_NAMESPACE")
        .context("CONTAINERD_NAMESPACE names the cgroup of all containers")?;
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = ["", "cpu", "cpuacct", "memory", "pids", "blkio"].map(|name| root.join(name));
    for hierarchy in hierarchies.iter().filter(|hierarchy| hierarchy.join(&parent).is_dir()) {
        let cgroup = hierarchy.join(&parent).join(name);
        fs::create_dir_all(&cgroup).with_context(|| format!("cannot make {}", cgroup.display()))?;
        fs::write(cgroup.join("cgroup.procs"), pid.to_string())
            .with_context(|| format!("cannot enter {}", cgroup.display()))?;
    }
    Ok(())
}
