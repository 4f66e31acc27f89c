//! A containerd in a nest of its own.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use image::ImageBuilder;
use rustix::process::Signal;

use crate::environment::{folder, guest, shim_binary};
use crate::events::Events;
use crate::exec::Exec;
use crate::nest::Nest;
use crate::patience::{eventually, here};
use crate::run::{Outcome, Run, output_of};

/// The releases that are supported; which one exactly, the folder of the environment decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1_7,
    V2_1,
    /// The newest. Its pods have no pause container: they are made by the sandbox service of the shim.
    Newest,
}

impl Version {
    fn folder(self) -> Result<PathBuf> {
        folder(match self {
            Version::V1_7 => "CONTAINERD_1_7",
            Version::V2_1 => "CONTAINERD_2_1",
            Version::Newest => "CONTAINERD_NEWEST",
        })
    }
}

/// What both kinds of daemon have in common. The file is of the older form, which both releases read.
const CONFIG: &str = r#"version = 2
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd-opt"
"#;

/// For a daemon that `ctr` alone speaks to.
const WITHOUT_CRI: &str = r#"disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime", "io.containerd.nri.v1.nri"]
"#;

/// containerd's namespace for what CRI makes.
const OF_CRI: &str = "k8s.io";

pub(crate) const SOCKET: &str = "/run/containerd/containerd.sock";
const SOCKETS: [&str; 2] = [SOCKET, "/run/containerd/containerd.sock.ttrpc"];

/// A variable of containerd's environment, and so of the shim's, that no guest may see.
pub const NODES_OWN: &str = "SECRET_OF_THE_NODE";

/// How long a call of `ctr` may take, in seconds: the longest compiles a large component on a busy machine.
const CTR: u64 = 180;

/// A running containerd with the shim on its PATH.
#[derive(Debug)]
pub struct Containerd {
    version: Version,
    namespace: String,
    daemon: Mutex<Option<Child>>,
    imported: Mutex<Vec<String>>,
    nest: Nest,
}

impl Containerd {
    /// Without CRI. What it runs is in a containerd namespace that has the nest's name.
    pub fn start(version: Version) -> Result<Containerd> {
        let nest = Nest::new()?;
        let namespace = nest.name().to_owned();
        Containerd::start_in(nest, version, namespace, &format!("{WITHOUT_CRI}{CONFIG}"))
    }

    /// With CRI, configured by the tables `cri`.
    pub(crate) fn start_with_cri(nest: Nest, version: Version, cri: &str) -> Result<Containerd> {
        Containerd::start_in(nest, version, OF_CRI.to_owned(), &format!("{CONFIG}{cri}"))
    }

    fn start_in(nest: Nest, version: Version, namespace: String, config: &str) -> Result<Containerd> {
        fs::write(nest.folder().join("containerd.toml"), config)?;
        let containerd =
            Containerd { version, namespace, daemon: Mutex::default(), imported: Mutex::default(), nest };
        containerd.begin()?;
        Ok(containerd)
    }

    /// Starts the daemon anew after [`Containerd::kill`] or [`Containerd::stop`].
    pub fn begin(&self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let child = self
            .program("containerd")?
            .arg("--config")
            .arg(self.nest.folder().join("containerd.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start containerd")?;
        *lock(&self.daemon) = Some(child);
        eventually("containerd answers", 30, || {
            Ok(SOCKETS.iter().all(|socket| UnixStream::connect(self.nest.see(socket)).is_ok()))
        })
    }

    /// Ends the daemon as `kill -9` does; containers stay.
    pub fn kill(&self) -> Result<()> {
        self.end_by(Signal::KILL)
    }

    /// Ends the daemon as a service manager does; containers stay.
    pub fn stop(&self) -> Result<()> {
        self.end_by(Signal::TERM)
    }

    fn end_by(&self, signal: Signal) -> Result<()> {
        let Some(mut child) = lock(&self.daemon).take() else { bail!("containerd does not run") };
        for process in self.nest.processes()?.iter().filter(|process| process.name == "containerd") {
            self.nest.end(process, signal)?;
        }
        child.wait()?;
        Ok(())
    }

    /// Where an installed shim is.
    fn installed(&self) -> PathBuf {
        self.nest.folder().join("bin")
    }

    /// Installs the shim as one does on a node: a new file takes the name of the old one. It is the one that containerd finds;
    /// each installation counts as a release of its own.
    pub fn install(&self) -> Result<()> {
        let (binary, folder) = (shim_binary()?, self.installed());
        fs::create_dir_all(&folder)?;
        let draft = folder.join("draft");
        fs::copy(&binary, &draft).with_context(|| format!("cannot install {}", binary.display()))?;
        Ok(fs::rename(draft, folder.join(binary.file_name().context("the shim has no name")?))?)
    }

    pub fn nest(&self) -> &Nest {
        &self.nest
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// What containerd and the shims have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The log's last lines, for whoever looks into a failure.
    pub fn log_end(&self) -> String {
        const LINES: usize = 40;
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
    }

    fn log_file(&self) -> PathBuf {
        self.nest.folder().join("containerd.log")
    }

    fn program(&self, name: &str) -> Result<Command> {
        let folder = self.version.folder()?;
        let path = std::env::var("PATH").unwrap_or_default();
        let (installed, shim) = (self.installed(), crate::environment::folder("SHIM_DIR")?);
        let mut command = self.nest.command("env");
        command.arg(format!("PATH={}:{}:{}:{path}", installed.display(), shim.display(), folder.display()));
        command.arg(format!("{NODES_OWN}=1")).arg(folder.join(name));
        Ok(command)
    }

    /// A call of `ctr` in the nest, in the daemon's containerd namespace, that does not take for ever.
    pub fn ctr_command<S: AsRef<std::ffi::OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Result<Command> {
        let mut command = self.nest.command("timeout");
        let limit = here(CTR).to_string();
        command.args(["--signal", "KILL", &limit]).arg(self.version.folder()?.join("ctr"));
        command.args(["--namespace", &self.namespace]).args(words);
        Ok(command)
    }

    /// Calls `ctr` to its end.
    pub fn ctr<S: AsRef<std::ffi::OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Result<Outcome> {
        output_of(self.ctr_command(words)?, None)
    }

    /// One more process in a task.
    pub fn exec(&self, task: &str) -> Exec<'_> {
        Exec::new(self, task)
    }

    /// A task's status in containerd's word, `RUNNING`; `None` where there is no such task.
    pub fn status(&self, id: &str) -> Result<Option<String>> {
        let table = self.ctr(["task", "ls"])?.success()?;
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        Ok(rows
            .filter(|row| row.first() == Some(&id))
            .find_map(|row| row.get(2).map(|&word| word.to_owned())))
    }

    /// Removes an ended task and its container; the task's exit code, of which `ctr` speaks only when it is not 0.
    pub fn delete(&self, id: &str) -> Result<i32> {
        let task = self.ctr(["task", "delete", id])?;
        self.ctr(["container", "delete", id])?.success()?;
        ensure!(task.code == 0, "cannot delete {id}: {task}");
        let code = task.stderr.split_once("non-zero exit code ").map_or("0", |(_, code)| code);
        let digits: String = code.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().with_context(|| format!("no exit code in {task}"))
    }

    /// Listens to the events from now on.
    pub fn events(&self) -> Result<Events<'_>> {
        Events::listen(self)
    }

    /// Imports an image under `localhost/<name>:1`; the same name again is the same image.
    pub fn import(&self, name: &str, image: ImageBuilder) -> Result<String> {
        let reference = format!("localhost/{name}:1");
        let mut imported = lock(&self.imported);
        if !imported.contains(&reference) {
            let tar = self.nest.folder().join("image.tar");
            fs::write(&tar, image.to_oci_tar(&reference)?)?;
            let words = ["images", "import", "--local"].map(Into::into);
            let import = self.ctr(words.into_iter().chain([tar.clone().into_os_string()]))?;
            if import.code != 0 {
                bail!("cannot import {reference}: {import}");
            }
            fs::remove_file(tar)?;
            imported.push(reference.clone());
        }
        Ok(reference)
    }

    /// A run of the image `reference` in a tar that somebody else has packed.
    pub fn run_tar(&self, tar: &Path, reference: &str) -> Run<'_> {
        let import = self.ctr(["images".as_ref(), "import".as_ref(), "--local".as_ref(), tar.as_os_str()]);
        Run::new(self, import.and_then(Outcome::success).map(|_| reference.to_owned()), "")
    }

    /// A run of an image that containerd has under this name.
    pub fn run_named(&self, reference: &str) -> Run<'_> {
        Run::new(self, Ok(reference.to_owned()), "")
    }

    /// A run without an image, of the files in a folder.
    pub fn run_folder(&self, root: &Path) -> Run<'_> {
        Run::new(self, Ok(root.display().to_string()), "").flag("--rootfs")
    }

    /// A run of a guest of test-images, packed as a pure Wasm image.
    pub fn run(&self, file: &str) -> Run<'_> {
        let image = guest(file).and_then(|bytes| self.import(file, ImageBuilder::new().wasm(file, bytes)));
        Run::new(self, image, &format!("/{file}"))
    }

    /// A run of any image; `program` is what `args` follow.
    pub fn run_image(&self, name: &str, image: ImageBuilder, program: &str) -> Run<'_> {
        Run::new(self, self.import(name, image), program)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
