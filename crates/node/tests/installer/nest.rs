//! A node: mount and process namespaces in which `/etc`, `/opt`, `/run` and `/var/lib` are private, with a containerd that a script
//! restarts and a Wasm task that it runs. All of it ends with the test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// A release of containerd: the variable that names its folder, and the config that its node begins with.
#[derive(Debug, Clone, Copy)]
pub struct Version {
    folder: &'static str,
    pub config: &'static str,
}

pub const V1_7: Version = Version {
    folder: "CONTAINERD_1_7",
    config: r#"# The node's admin keeps this file.
version = 2

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt" # on the large disk

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#,
};

/// What containerd 1.7 begins with that nobody has configured: it has runc by itself.
pub const V1_7_BARE: Version = Version {
    folder: "CONTAINERD_1_7",
    config: r#"# The node's admin keeps this file.
version = 2

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt" # on the large disk
"#,
};

pub const V2_1: Version = Version {
    folder: "CONTAINERD_2_1",
    config: r#"# The node's admin keeps this file.
version = 3

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt" # on the large disk

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"#,
};

pub const CONFIG: &str = "/etc/containerd/config.toml";
pub const DROP_IN: &str = "/etc/containerd/conf.d/run-wasm.toml";
pub const CURRENT: &str = "/opt/run-wasm/current";

/// The first process of the nest. It ends when its stdin does; the kernel then ends all others.
const FIRST: &str = r#"set -e
cp -a /etc "$1/etc"
mkdir -p "$1/etc/containerd"
mount --bind "$1/etc" /etc
for folder in /run /opt /var/lib /var/log; do mount -t tmpfs -o mode=755 tmpfs $folder; done
ip link set lo up
echo ready
read -r _ || true"#;

/// What an admin without systemd has: ends containerd and starts it anew. `/run/held` keeps it from coming back with a config that
/// knows run-wasm; with `/run/broken` nothing is restarted at all. Two at once take turns, as with systemd.
const RESTART: &str = r#"set -e
exec 9>/run/restart.lock
flock 9
echo restarted >>/run/restarts
if [ -f /run/broken ]; then exit 1; fi
if [ -f /run/containerd.pid ]; then
  pid=$(cat /run/containerd.pid)
  kill "$pid" 2>/dev/null || true
  while grep -qs '^State:[[:space:]]*[^Z]' /proc/$pid/status; do sleep 0.02; done
fi
if [ -f /run/held ] && grep -rqs io.containerd.run.v2 /etc/containerd --include=*.toml; then exit 0; fi
setsid containerd --config /etc/containerd/config.toml </dev/null >>/run/containerd.log 2>&1 9>&- &
echo $! >/run/containerd.pid
"#;

static COUNT: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
pub struct Nest {
    pub version: Version,
    name: String,
    folder: TempDir,
    unshare: Child,
    stdin: Option<ChildStdin>,
    first: String,
}

impl Nest {
    /// A node whose containerd runs, and runs a Wasm task.
    pub fn new(version: Version) -> Result<Nest> {
        let name = format!("n{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = TempDir::with_prefix(&name)?;
        let mut unshare = Command::new("unshare")
            .args(["--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child", "--mount-proc"])
            .args(["--propagation", "slave", "bash", "-c", FIRST, "first"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = unshare.stdin.take();
        let mut line = String::new();
        BufReader::new(unshare.stdout.take().context("no stdout")?).read_line(&mut line)?;
        ensure!(line == "ready\n", "no namespaces could be made: the installer is tested by root");
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let first = fs::read_to_string(children)?.trim().to_owned();
        let nest = Nest { version, name, folder, unshare, stdin, first };
        nest.begin()?;
        Ok(nest)
    }

    fn begin(&self) -> Result<()> {
        fs::write(self.see(CONFIG), self.version.config)?;
        fs::write(self.path("restart"), RESTART)?;
        let shim = variable("SHIM_DIR")?.join("containerd-shim-run-v2");
        fs::create_dir(self.path("bin"))?;
        fs::create_dir(self.path("newer"))?;
        let strip = Command::new("strip")
            .arg("-o")
            .arg(self.path("bin/containerd-shim-run-v2"))
            .arg(shim)
            .status()?;
        ensure!(strip.success(), "the shim cannot be stripped");
        // Another build of the same program.
        let mut newer = fs::read(self.path("bin/containerd-shim-run-v2"))?;
        newer.push(0);
        fs::write(self.path("newer/containerd-shim-run-v2"), newer)?;
        make_executable(&self.path("newer/containerd-shim-run-v2"))?;
        self.sh(&self.restart_command())?;
        eventually("containerd answers", || Ok(self.ctr(&["version"]).is_ok()))?;

        let image = self.path("sleep.tar").display().to_string();
        let guest = variable("GUESTS")?.join("sleep.wasm");
        let pack = variable("SHIM_DIR")?.join("run-wasm");
        let packed = Command::new(pack)
            .args(["image", "--name", "localhost/sleep:1", "-o", &image])
            .arg(guest)
            .output()?;
        ensure!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let local: &[&str] = if self.version.folder == "CONTAINERD_2_1" { &["--local"] } else { &[] };
        self.ctr(&[&["images", "import"], local, &[&image]].concat())?;
        let shim = self.path("bin/containerd-shim-run-v2").display().to_string();
        self.ctr(&["run", "-d", "--null-io", "--runtime", &shim, "localhost/sleep:1", "witness"])?;
        eventually("the task runs", || Ok(self.witness().is_ok()))
    }

    /// The task's line of `ctr tasks ls`: its pid and that it runs.
    pub fn witness(&self) -> Result<String> {
        let list = self.ctr(&["tasks", "ls"])?;
        let line = list.lines().find(|line| line.starts_with("witness"));
        let line = line.with_context(|| {
            // Why containerd has given it up, it has said itself.
            let why = self.sh("grep -e shim -e witness /run/containerd.log | tail -n 30");
            format!("the task is gone: {}", why.unwrap_or_default())
        })?;
        ensure!(line.contains("RUNNING"), "the task has ended: {line}");
        Ok(line.to_owned())
    }

    /// Ends the task.
    pub fn end_witness(&self) -> Result<()> {
        self.ctr(&["tasks", "kill", "-s", "KILL", "witness"])?;
        eventually("the task has ended", || Ok(!self.ctr(&["tasks", "ls"])?.contains("RUNNING")))?;
        self.ctr(&["tasks", "delete", "witness"])?;
        Ok(())
    }

    /// `run-wasm-node ARGS` with what every call needs.
    pub fn installer(&self, args: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_run-wasm-node"));
        self.add_args(&mut command, args);
        command
    }

    /// The same, killed with SIGKILL when it is about to make a system call the `nth` time.
    pub fn installer_killed_at(&self, call: &str, nth: u32, args: &[&str]) -> Command {
        let mut command = self.command("strace");
        command.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={nth}")]);
        command.arg(env!("CARGO_BIN_EXE_run-wasm-node"));
        self.add_args(&mut command, args);
        command
    }

    fn add_args(&self, command: &mut Command, args: &[&str]) {
        let containerd = variable(self.version.folder).unwrap_or_default().join("containerd");
        command
            .args(args)
            .args(["--restart-command", &self.restart_command()])
            .arg("--containerd")
            .arg(containerd);
        if !args.contains(&"--restart-timeout") {
            command.args(["--restart-timeout", "20"]);
        }
    }

    /// Runs the installer from the folder `bin`. Its stdout, or an error with its stderr.
    pub fn install(&self, more: &[&str]) -> Result<String> {
        let binaries = self.path("bin").display().to_string();
        succeed(self.installer(&[&["install", "--binaries", &binaries], more].concat()))
    }

    pub fn uninstall(&self) -> Result<String> {
        succeed(self.installer(&["uninstall", "--force"]))
    }

    /// The differences that `verify` tells; none when it is content.
    pub fn verify(&self) -> Result<String> {
        let output = self.installer(&["verify"]).output()?;
        let told = String::from_utf8(output.stderr)?;
        ensure!(output.status.success() == told.is_empty(), "{}: {told}", output.status);
        Ok(told)
    }

    /// The handlers of ours that containerd knows, by the installer's own look: whether a plan would restart it says it too.
    pub fn knows_us(&self) -> Result<bool> {
        Ok(succeed(self.installer(&["plan", "--uninstall"]))?.contains("restart containerd"))
    }

    /// How often containerd was restarted.
    pub fn restarts(&self) -> usize {
        fs::read_to_string(self.see("/run/restarts")).unwrap_or_default().lines().count()
    }

    pub fn restart_command(&self) -> String {
        format!("sh {}", self.path("restart").display())
    }

    pub fn config(&self) -> Result<String> {
        Ok(fs::read_to_string(self.see(CONFIG))?)
    }

    /// Whether something is there, a link to nowhere included.
    pub fn is_there(&self, path: &str) -> bool {
        fs::symlink_metadata(self.see(path)).is_ok()
    }

    /// What no run may leave: drafts and second names.
    pub fn leftovers(&self) -> Result<String> {
        self.sh("find /etc /opt/run-wasm /run/run-wasm /var/lib/run-wasm -name '*.run-wasm-*' -o -name '*.new' -path '/opt/*' -o -name journal.json 2>/dev/null || true")
    }

    /// Runs a line of shell in the nest.
    pub fn sh(&self, line: &str) -> Result<String> {
        let mut command = self.command("sh");
        command.args(["-c", line]);
        succeed(command)
    }

    pub fn ctr(&self, args: &[&str]) -> Result<String> {
        let mut command = self.command("timeout");
        command.args(["-s", "KILL", "60", "ctr", "-n", &self.name]).args(args);
        succeed(command)
    }

    /// A command in the nest, with containerd on its PATH.
    fn command(&self, program: &str) -> Command {
        let folder = variable(self.version.folder).unwrap_or_default();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first, "--mount", "--pid", "--net", "--ipc", "--", "env"]);
        command.arg(format!("PATH={path}")).arg(program);
        command
    }

    /// A path beneath the folder that test and nest share.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the test sees a path of the nest's.
    pub fn see(&self, inside: &str) -> PathBuf {
        Path::new("/proc").join(&self.first).join("root").join(inside.trim_start_matches('/'))
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.see("/run/containerd.log")).unwrap_or_default());
        }
        drop(self.stdin.take());
        let _ = self.unshare.wait();
        // The kernel has ended the task; its cgroups stay, and are empty.
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let folder = hierarchy.path().join(&self.name);
            if folder.is_dir() {
                let _ = Command::new("find")
                    .arg(&folder)
                    .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"])
                    .output();
            }
        }
    }
}

/// Waits for a condition, a minute at most.
pub fn eventually(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition()? {
        ensure!(Instant::now() < end, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

pub fn succeed(mut command: Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output()?;
    if !status.success() {
        bail!("{status}: {}", String::from_utf8_lossy(&stderr).trim_end());
    }
    Ok(String::from_utf8(stdout)?)
}

/// Runs what has to fail with exit code 1; its stderr.
pub fn fail(mut command: Command) -> Result<String> {
    let output = command.output()?;
    let told = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(1), "{}: {told}", output.status);
    Ok(told)
}

fn variable(name: &str) -> Result<PathBuf> {
    Ok(std::env::var_os(name).with_context(|| format!("{name} is not set: scripts/test.sh sets it"))?.into())
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}
