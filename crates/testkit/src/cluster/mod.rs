//! A Kubernetes cluster as scripts/cluster.sh makes it: real programs in namespaces of their own.
//!
//! Objects go through the API server; what people do by `kubectl`, and what it prints, is tested by `kubectl`.

mod api;
mod namespace;
mod objects;
mod pods;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use image::ImageBuilder;
use serde_json::json;
use tempfile::TempDir;

pub use api::Api;
pub use namespace::{Mode, Namespace};
pub use objects::{guest_container, native_container, with};
pub use pods::{condition, container_status, terminated, text};

use crate::containerd::lock;
use crate::environment::guest;
use crate::leaks::cgroups;
use crate::native::busybox;
use crate::patience::eventually;
use crate::run::{Outcome, output_of};

/// The script that makes it.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/cluster.sh");

/// The first node, on which all but the pods of the cluster run, too.
pub const NODE: &str = "node";
/// The second one.
pub const WORKER: &str = "worker";

/// Where the node sees the cluster's folder.
const INSIDE: &str = "/run/cluster";

/// Ends the cluster when its stdin does: when the test says so, or dies.
const GUARDIAN: &str = "read -r _; exec \"$0\" down";

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    guardian: Option<Child>,
    /// What lets the test speak to the API server by a socket in the folder.
    proxy: Mutex<Option<Child>>,
}

impl Cluster {
    /// Makes one of two nodes and waits until pods can be made. The second takes those alone that ask for it.
    pub fn up() -> Result<Cluster> {
        let folder = TempDir::with_prefix("run-wasm-cluster-")?;
        let guardian = Command::new("setsid")
            .args(["bash", "-c", GUARDIAN, SCRIPT])
            .env("CLUSTER_DIR", state(&folder))
            .stdin(Stdio::piped())
            .spawn()?;
        let cluster = Cluster { folder, guardian: Some(guardian), proxy: Mutex::default() };
        cluster.script("up", &[])?;
        cluster.open_api()?;
        cluster.cordon(WORKER, true)?;
        for mode in [Mode::Normal, Mode::Shared] {
            cluster.api().post(
                "/apis/node.k8s.io/v1/runtimeclasses",
                &json!({
                    "metadata": {"name": mode.native_class()},
                    "handler": mode.native_class().replace("run-wasm", "run"),
                }),
            )?;
        }
        Ok(cluster)
    }

    /// Where the test sees the cluster's folder, which the node has at [`Cluster::inside`].
    pub fn folder(&self) -> PathBuf {
        state(&self.folder)
    }

    /// Where the node sees a file of the cluster's folder.
    pub fn inside(&self, file: &str) -> String {
        format!("{INSIDE}/{file}")
    }

    pub fn api(&self) -> Api {
        Api::new(self.folder().join("api.sock"))
    }

    /// A Kubernetes namespace for one test.
    pub fn namespace(&self, name: &str, mode: Mode) -> Result<Namespace<'_>> {
        Namespace::make(self, name, mode)
    }

    /// A command on the node.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(SCRIPT);
        command.arg("exec").args(words).env("CLUSTER_DIR", self.folder());
        command
    }

    /// Runs a command on the node.
    pub fn run(&self, words: &[&str]) -> Result<Outcome> {
        output_of(self.command(words), None)
    }

    /// Runs a command on the second node.
    pub fn run_on_worker(&self, words: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(SCRIPT);
        command.arg("exec-worker").args(words).env("CLUSTER_DIR", self.folder());
        output_of(command, None)
    }

    /// Whether a node takes no new pods.
    pub fn cordon(&self, node: &str, cordoned: bool) -> Result<()> {
        let path = format!("/api/v1/nodes/{node}");
        self.api().patch(&path, &json!({"spec": {"unschedulable": cordoned}})).map(drop)
    }

    /// Ends a program of the node, which comes back by itself.
    pub fn restart(&self, program: &str, signal: &str) -> Result<()> {
        self.script("restart", &[program, signal])
    }

    /// Ends all that runs on the node, and starts it with the same disks.
    pub fn reboot(&self) -> Result<()> {
        self.script("reboot", &[])?;
        self.close_api()?;
        self.open_api()
    }

    /// Gives the node an image of each of these guests, `localhost/<name>:1`, and one of busybox.
    pub fn import(&self, guests: &[&str]) -> Result<()> {
        let folder = TempDir::new()?;
        let mut tars = Vec::new();
        let mut pack = |name: &str, image: ImageBuilder| -> Result<()> {
            let tar = folder.path().join(format!("{name}.tar"));
            fs::write(&tar, image.to_oci_tar(&format!("localhost/{name}:1"))?)?;
            tars.push(tar.display().to_string());
            Ok(())
        };
        for name in guests {
            let file = format!("{name}.wasm");
            pack(name, ImageBuilder::new().wasm(file.as_str(), guest(&file)?))?;
        }
        pack("busybox", busybox()?)?;
        self.script("import", &tars.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The end of each log of the node's programs.
    pub fn log_ends(&self) -> String {
        let logs = self.run(&["bash", "-c", "tail -n 20 /run/cluster/log/*.log"]);
        logs.map(|logs| logs.stdout).unwrap_or_default()
    }

    /// Ends it; fails if anything of it stays.
    pub fn down(mut self) -> Result<()> {
        let state = self.folder();
        self.end()?;
        let name = state.display().to_string();
        ensure!(!state.exists(), "{name} is still there");
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        ensure!(!mounts.contains(&name), "mounts are left:\n{mounts}");
        let processes = processes_with(&name)?;
        ensure!(processes.is_empty(), "processes are left: {processes:?}");
        let cgroups = cgroups(&cgroup(&name)?);
        ensure!(cgroups.is_empty(), "cgroups are left: {cgroups:?}");
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let Some(mut guardian) = self.guardian.take() else { return Ok(()) };
        drop(guardian.stdin.take());
        ensure!(guardian.wait()?.success(), "the cluster could not be ended");
        self.close_api()
    }

    fn script(&self, what: &str, words: &[&str]) -> Result<()> {
        let mut command = Command::new(SCRIPT);
        command.arg(what).args(words).env("CLUSTER_DIR", self.folder()).env("CLUSTER_NODES", "2");
        let outcome = output_of(command, None)?;
        if outcome.code != 0 {
            bail!("cluster.sh {what}: {outcome}");
        }
        Ok(())
    }

    fn open_api(&self) -> Result<()> {
        let socket = format!("--unix-socket={}", self.inside("api.sock"));
        let mut proxy = self.command(&["kubectl", "proxy", &socket]);
        proxy.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        *lock(&self.proxy) = Some(proxy.spawn()?);
        eventually("the API server answers", 30, || Ok(self.api().text("/readyz").is_ok()))
    }

    /// Buries what has ended with the node.
    fn close_api(&self) -> Result<()> {
        if let Some(mut proxy) = lock(&self.proxy).take() {
            proxy.wait()?;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}

fn state(folder: &TempDir) -> PathBuf {
    folder.path().join("cluster")
}

/// The name of the cgroup of what has its state in `folder`, as scripts/lib/private.sh makes it.
fn cgroup(folder: &str) -> Result<String> {
    let script = Path::new(SCRIPT).with_file_name("lib").join("private.sh");
    let mut ask = Command::new("bash");
    ask.args(["-c", ". \"$0\"; cgroup_of \"$1\""]).arg(script).arg(folder);
    Ok(output_of(ask, None)?.success()?.trim().to_owned())
}

/// The command lines that name `word`.
fn processes_with(word: &str) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for entry in fs::read_dir("/proc").context("no /proc")? {
        let path = entry?.path().join("cmdline");
        let line = fs::read(path).map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.extend(line.ok().filter(|line| line.contains(word)));
    }
    Ok(lines)
}
