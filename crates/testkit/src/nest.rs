//! Namespaces in which daemons believe they have the machine to themselves: mounts, processes and network of their own,
//! with an empty `/run` and `/var/lib`. Everything in it ends with it, also when the test is killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::cgroup;
use crate::leaks::{remove_cgroups, thaw};

/// The first process of the nest. It ends when its stdin does, which is when the test drops the nest or dies; the kernel
/// then ends all others. Being a shell it reaps orphans.
const FIRST: &str = "set -e
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /var/log
ip link set lo up
echo ready
read -r _ || true";

/// Makes names unique within a test binary; its pid does it among binaries.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Namespaces with what runs in them, and a folder that they share with the test.
#[derive(Debug)]
pub struct Nest {
    name: String,
    folder: TempDir,
    unshare: Child,
    stdin: Option<ChildStdin>,
    first: i32,
    mounts: Vec<String>,
}

/// A process in a nest.
#[derive(Debug, Clone)]
pub struct Process {
    /// As the test sees it.
    pub pid: i32,
    /// The kernel's name of it, of at most 15 bytes.
    pub name: String,
    pub command_line: String,
    /// Its real user.
    pub uid: u32,
}

impl Nest {
    pub fn new() -> Result<Nest> {
        let name = format!("t{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = TempDir::with_prefix(&name)?;
        let mut unshare = Command::new("unshare")
            .args(["--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "slave", "bash", "-c", FIRST])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let stdin = unshare.stdin.take();
        let stdout = unshare.stdout.take().context("unshare has no stdout")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line != "ready\n" {
            bail!("no namespaces could be made: containers are tested by root");
        }
        let first = only_child(unshare.id().cast_signed())?;
        let mut nest = Nest { name, folder, unshare, stdin, first, mounts: Vec::new() };
        nest.mounts = nest.mounts()?;
        Ok(nest)
    }

    /// A name that no other nest has: for containerd's namespace, and so for the cgroups.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A folder that the test and the nest both see under this path.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the test sees an absolute path of the nest's.
    pub fn see(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        Path::new("/proc")
            .join(self.first.to_string())
            .join("root")
            .join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// A command that will run in the nest.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.first.to_string(), "--mount", "--pid", "--net", "--ipc", "--"])
            .arg(program);
        command
    }

    /// Runs a function in the nest's network; a socket made there stays there.
    pub fn in_network<T: Send>(&self, function: impl FnOnce() -> T + Send) -> Result<T> {
        let namespace = fs::File::open(format!("/proc/{}/ns/net", self.first))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || -> Result<T> {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(function())
            });
            thread.join().unwrap_or_else(|_| bail!("the function in the nest's network panicked"))
        })
    }

    /// All processes but the first.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let namespace = fs::read_link(format!("/proc/{}/ns/pid", self.first))?;
        let mut processes = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let pid =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<i32>().ok());
            // One that ends meanwhile is none.
            let (Some(pid), Ok(status)) = (pid, fs::read_to_string(path.join("status"))) else { continue };
            if pid == self.first || !self.holds(&path, &namespace, &status) {
                continue;
            }
            let field =
                |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim();
            let command_line = fs::read(path.join("cmdline")).unwrap_or_default();
            let command_line = String::from_utf8_lossy(&command_line).replace('\0', " ").trim().to_owned();
            let uid = field("Uid:").split_whitespace().next().and_then(|uid| uid.parse().ok());
            let uid = uid.with_context(|| format!("the process {pid} has no user: {status}"))?;
            processes.push(Process { pid, name: field("Name:").to_owned(), command_line, uid });
        }
        Ok(processes)
    }

    /// The shims: one for each pod in normal mode, a manager for those in shared mode.
    pub fn shims(&self) -> Result<Vec<Process>> {
        self.ours(" start")
    }

    /// The containers' hosts.
    pub fn hosts(&self) -> Result<Vec<Process>> {
        self.ours(" host ")
    }

    fn ours(&self, role: &str) -> Result<Vec<Process>> {
        let mut processes = self.processes()?;
        processes.retain(|process| {
            process.command_line.contains("containerd-shim-run-v2") && process.command_line.contains(role)
        });
        Ok(processes)
    }

    /// Has the machine work for the nest's containers, of which there has to be one, before all else.
    pub fn favour(&self) -> Result<()> {
        cgroup::favour(&self.name)
    }

    /// What managers have logged.
    pub fn managers_log(&self) -> String {
        let logs = fs::read_dir(self.see("/var/log/run-wasm")).into_iter().flatten().filter_map(Result::ok);
        logs.map(|log| fs::read_to_string(log.path()).unwrap_or_default()).collect()
    }

    /// Ends a process of the nest; one that is gone is no error.
    pub fn end(&self, process: &Process, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(process.pid).context("no process has the pid 0")?;
        match kill_process(pid, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a process is in the nest's pid namespace or in one below it. Hosts have one of their own, and a zombie's
    /// is no longer to be seen: for both their parents count.
    fn holds(&self, path: &Path, namespace: &Path, status: &str) -> bool {
        if fs::read_link(path.join("ns/pid")).is_ok_and(|own| own == *namespace) {
            return true;
        }
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim);
        parent.is_some_and(|parent| {
            fs::read_link(format!("/proc/{parent}/ns/pid")).is_ok_and(|own| own == *namespace)
                && parent != self.unshare.id().to_string()
        })
    }

    /// The mount points that were not there at the beginning.
    pub fn new_mounts(&self) -> Result<Vec<String>> {
        Ok(self.mounts()?.into_iter().filter(|mount| !self.mounts.contains(mount)).collect())
    }

    fn mounts(&self) -> Result<Vec<String>> {
        let table = fs::read_to_string(format!("/proc/{}/mountinfo", self.first))?;
        Ok(table.lines().filter_map(|line| line.split(' ').nth(4)).map(str::to_owned).collect())
    }
}

fn only_child(pid: i32) -> Result<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    children.trim().parse().with_context(|| format!("unshare has the children {children:?} instead of one"))
}

impl Drop for Nest {
    fn drop(&mut self) {
        drop(self.stdin.take());
        thaw(&self.name);
        if let Err(error) = self.unshare.wait() {
            eprintln!("a nest cannot be waited for: {error}");
        }
        remove_cgroups(&self.name);
    }
}
