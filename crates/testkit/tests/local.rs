//! `run-wasm run` and `run-wasm dev`: the same shim, hosts and grants without containerd, as root and as anybody.
//!
//! Each test has namespaces of its own, and looks at its end for what is left behind.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use testkit::{Nest, Outcome, alone, eventually, guest};

/// Some ordinary user.
const SOMEBODY: u32 = 1234;

/// How long a line of output may take to come, in seconds: the first compilation is in it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Who calls the program, from a home of their own.
struct Caller<'a> {
    nest: &'a Nest,
    uid: u32,
}

/// The test, once as root and once as an ordinary user.
fn both(test: impl Fn(&Caller<'_>) -> Result<()>) -> Result<()> {
    for uid in [0, SOMEBODY] {
        by(uid, &test).with_context(|| format!("as the user {uid}"))?;
    }
    Ok(())
}

fn by(uid: u32, test: impl Fn(&Caller<'_>) -> Result<()>) -> Result<()> {
    alone(|nest| {
        fs::set_permissions(nest.folder(), PermissionsExt::from_mode(0o755))?;
        let caller = Caller { nest, uid };
        fs::create_dir(caller.home())?;
        chown(caller.home(), Some(uid), Some(uid))?;
        test(&caller)?;
        let left: Vec<_> = nest.processes()?;
        ensure!(left.is_empty(), "left behind: {left:?}");
        let spare = ["/mnt", "/media", "/srv", "/opt", "/run/containerd"].map(|folder| nest.see(folder));
        for folder in spare.iter().filter(|folder| folder.is_dir()) {
            let holds = fs::read_dir(folder)?.flatten().any(|entry| entry.file_name() == "bundle");
            ensure!(!holds, "left behind in {}", folder.display());
        }
        Ok(())
    })
}

impl Caller<'_> {
    fn home(&self) -> PathBuf {
        self.nest.folder().join("home")
    }

    /// A file in the home, which belongs to its user.
    fn file(&self, name: &str, bytes: &[u8]) -> Result<String> {
        let path = self.home().join(name);
        fs::write(&path, bytes)?;
        chown(&path, Some(self.uid), Some(self.uid))?;
        Ok(path.display().to_string())
    }

    fn guest(&self, name: &str) -> Result<String> {
        self.file(name, &guest(name)?)
    }

    fn command(&self, words: &[&str]) -> Result<Command> {
        self.command_by(&[], words)
    }

    fn command_by(&self, before: &[&str], words: &[&str]) -> Result<Command> {
        let program =
            PathBuf::from(std::env::var_os("SHIM_DIR").context("SHIM_DIR is not set")?).join("run-wasm");
        let (uid, gid) = (format!("--reuid={}", self.uid), format!("--regid={}", self.uid));
        let mut command = self.nest.command("setpriv");
        command
            .args([&uid, &gid, "--clear-groups", "--", "env", "--default-signal", "--chdir"])
            .arg(self.home());
        command.args(before).arg(program).args(words);
        command.env("HOME", self.home()).env_remove("XDG_CACHE_HOME");
        Ok(command)
    }

    /// Runs to the end with this on stdin.
    fn given(&self, input: &[u8], words: &[&str]) -> Result<Outcome> {
        let mut command = self.command(words)?;
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("no stdin")?;
        stdin.write_all(input)?;
        drop(stdin);
        let output = child.wait_with_output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        })
    }

    fn run(&self, words: &[&str]) -> Result<Outcome> {
        self.given(b"", &[&["run"], words].concat())
    }

    fn spawn(&self, words: &[&str]) -> Result<Running<'_>> {
        self.spawn_by(&[], words)
    }

    /// The same, called by another program with its own arguments before ours.
    fn spawn_by(&self, before: &[&str], words: &[&str]) -> Result<Running<'_>> {
        let mut command = self.command_by(before, words)?;
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (said, lines) = mpsc::channel();
        for stream in [child.stdout.take().map(reader), child.stderr.take().map(reader)] {
            let (stream, said) = (stream.context("no output")?, said.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    drop(said.send(line));
                }
            });
        }
        let what = words.first().copied().unwrap_or_default().to_owned();
        Ok(Running { nest: self.nest, what, child, lines })
    }

    /// What a server at a port of the loopback answers.
    fn get(&self, port: u16, path: &str) -> Result<String> {
        let mut stream = self.nest.in_network(|| TcpStream::connect((Ipv4Addr::LOCALHOST, port)))??;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn command_line(process: &Path) -> Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(process.join("cmdline"))?).replace('\0', " "))
}

/// The folders in /proc, and the command lines, of all that a process has begun.
fn descendants(pid: i32) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for task in fs::read_dir(format!("/proc/{parent}/task"))? {
            for child in fs::read_to_string(task?.path().join("children"))?.split_whitespace() {
                let folder = Path::new("/proc").join(child);
                parents.push(child.parse()?);
                found.push((folder.clone(), command_line(&folder)?));
            }
        }
    }
    Ok(found)
}

fn reader(stream: impl Read + Send + 'static) -> Box<dyn Read + Send> {
    Box::new(stream)
}

struct Running<'a> {
    nest: &'a Nest,
    /// The first word of its command line.
    what: String,
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running<'_> {
    /// Waits for a line that has these words.
    fn says(&self, words: &str) -> Result<String> {
        let mut before = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return Ok(line),
                Ok(line) => before.push(line),
                Err(_) => bail!("nobody said «{words}»: {before:?}"),
            }
        }
    }

    /// The program itself: the child that we have only enters the nest.
    fn process(&self) -> Result<testkit::Process> {
        let own =
            |process: &testkit::Process| process.command_line.contains(&format!("/run-wasm {}", self.what));
        self.nest.processes()?.into_iter().find(own).context("it does not run")
    }

    fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        self.nest.end(&self.process()?, signal)
    }

    fn code(mut self) -> Result<i32> {
        self.child.wait()?.code().context("it was killed")
    }
}

/// A project whose one component is a file of text.
fn project(caller: &Caller<'_>, component: &str) -> Result<()> {
    caller.file("run.toml", b"name = \"app\"\nversion = \"1.0.0\"\n[components.app]\nbuild = \"cp src.wat app.wat\"\noutput = \"app.wat\"\n")?;
    caller.file("src.wat", component.as_bytes()).map(drop)
}

/// Core WebAssembly that writes a line and ends, or waits for ever.
fn speaker(line: &str, for_ever: bool) -> String {
    let (length, stays) = (line.len() + 1, if for_ever { "(loop $l (br $l))" } else { "" });
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00") (data (i32.const 4) "\{length:02x}\00\00\00") (data (i32.const 16) "{line}\n")
            (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))) {stays}))"#
    )
}

#[test]
fn arguments_environment_stdin_and_exit_code_are_the_guests() -> Result<()> {
    both(|caller| {
        let (hello, exit) = (caller.guest("hello.wasm")?, caller.guest("exit.wasm")?);
        assert_eq!(caller.run(&[&hello])?.success()?, "hello from run-wasm\n");
        assert_eq!(caller.run(&[&exit, "7"])?.code, 7);
        let args = caller.run(&[&caller.guest("args.wasm")?, "--one", "two words"])?.success()?;
        assert!(
            args.contains("--one") && args.contains("two words") && args.contains("/args.wasm"),
            "{args}"
        );
        let env = caller.run(&["-e", "A=b c", &caller.guest("env.wasm")?])?.success()?;
        assert!(env.contains("A=b c") && !env.contains("HOME"), "{env}");
        let echo = caller.guest("echo.wasm")?;
        // As short as it is, it is over before there is a guest to read it.
        assert_eq!(caller.given(b"to and fro", &["run", &echo])?.success()?, "to and fro");
        assert_eq!(caller.given(b"", &["run", &echo])?.success()?, "");
        let long = "to and fro ".repeat(4_000);
        ensure!(caller.given(long.as_bytes(), &["run", &echo])?.success()? == long, "much of it is lost");
        Ok(())
    })
}

#[test]
fn a_trap_is_told_with_its_backtrace() -> Result<()> {
    both(|caller| {
        let trap = caller.run(&[&caller.guest("trap-g.wasm")?])?;
        assert_eq!((trap.code, trap.stdout.as_str()), (134, "about to trap\n"), "{trap}");
        assert!(trap.stderr.contains("unreachable") && trap.stderr.contains("trap"), "{trap}");
        Ok(())
    })
}

#[test]
fn a_run_is_strict_unless_it_is_said_otherwise() -> Result<()> {
    both(|caller| {
        let clocks = caller.guest("clocks.wasm")?;
        let strict = caller.run(&[&clocks])?;
        assert!(strict.code == 134 && strict.stderr.contains("run.wasm/clock"), "{strict}");
        let frozen = caller
            .run(&["--annotation", "clock=frozen", "--annotation", "random=seed:1", &clocks])?
            .success()?;
        assert!(frozen.contains("wall-seconds: 946684800"), "{frozen}");
        let standard = caller.run(&["--profile", "standard", &clocks])?.success()?;
        assert!(standard.contains("wall: plausible"), "{standard}");
        let refused = caller.run(&["--egress", "example.com", &clocks])?;
        assert!(refused.code == 125 && refused.stderr.contains("--profile standard"), "{refused}");
        Ok(())
    })
}

#[test]
fn a_volume_is_written_to_as_its_owner_and_not_where_it_is_read_only() -> Result<()> {
    both(|caller| {
        let files = caller.guest("files.wasm")?;
        caller.file("note", b"here")?;
        let home = caller.home().display().to_string();
        let (open, closed) = (format!("{home}:/data"), format!("{home}:/data:ro"));
        assert!(caller.run(&["-v", &closed, &files, "read", "/data/note"])?.success()?.contains("here"));
        let refused = caller.run(&["-v", &closed, &files, "write", "/data/new", "text"])?;
        assert!(refused.code != 0 && !caller.home().join("new").exists(), "{refused}");
        caller.run(&["-v", &open, &files, "write", "/data/new", "text"])?.success()?;
        let meta = fs::metadata(caller.home().join("new"))?;
        assert_eq!((std::os::unix::fs::MetadataExt::uid(&meta), meta.len()), (caller.uid, 4));
        let without = caller.run(&[&files, "read", "/etc/passwd"])?;
        assert!(without.code != 0 && !without.stdout.contains("root:"), "{without}");
        Ok(())
    })
}

#[test]
fn egress_is_closed_until_it_is_granted() -> Result<()> {
    both(|caller| {
        let listener = caller.nest.in_network(|| TcpListener::bind("127.0.0.1:0"))??;
        let address = listener.local_addr()?.to_string();
        let sockets = caller.guest("sockets.wasm")?;
        let closed = caller.run(&["--profile", "standard", &sockets, "connect", &address])?;
        assert!(closed.code == 1 && closed.stdout.contains("PermissionDenied"), "{closed}");
        let open =
            caller.run(&["--profile", "standard", "--egress", &address, &sockets, "connect", &address])?;
        assert!(open.code == 0 && open.stdout.contains("ok connected"), "{open}");
        Ok(())
    })
}

#[test]
fn a_memory_limit_and_a_timeout_are_kept_without_cgroups() -> Result<()> {
    both(|caller| {
        let hog = caller.run(&["--memory", "32m", &caller.guest("memory-hog.wasm")?, "64"])?;
        assert!(hog.code == 137 && hog.stderr.contains("memory limit of 32 MiB"), "{hog}");
        let waits = caller.file("waits.wat", speaker("here", true).as_bytes())?;
        let late = caller.run(&["--timeout", "500ms", &waits])?;
        assert_eq!((late.code, late.stdout.as_str()), (124, "here\n"), "{late}");
        Ok(())
    })
}

#[test]
fn a_server_answers_at_the_published_port_until_it_is_asked_to_end() -> Result<()> {
    both(|caller| {
        let serve = caller.guest("serve.wasm")?;
        let running = caller.spawn(&["run", "--profile", "standard", "-p", "9090:8080", &serve])?;
        let answer = || -> Result<bool> {
            Ok(caller.get(9090, "/").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")))
        };
        eventually("the server answers", 60, answer)?;
        running.signal(rustix::process::Signal::TERM)?;
        assert_eq!(running.code()?, 0);
        ensure!(caller.get(9090, "/").is_err(), "somebody listens still");
        Ok(())
    })
}

#[test]
fn images_of_every_format_run() -> Result<()> {
    both(|caller| {
        let hello = caller.guest("hello.wasm")?;
        for format in ["image", "artifact", "rootfs"] {
            let pack = ["image", "--name", "localhost/x:1", "--format", format, "-o", "x.tar", &hello];
            caller.given(b"", &pack)?.success()?;
            assert_eq!(caller.run(&["x.tar"])?.success()?, "hello from run-wasm\n", "{format}");
        }
        project(caller, &speaker("built", false))?;
        assert_eq!(caller.run(&["--quiet", "."])?.success()?, "built\n");
        Ok(())
    })
}

#[test]
fn what_cannot_be_run_is_told_in_a_sentence_and_125() -> Result<()> {
    both(|caller| {
        let library = caller.guest("library.wasm")?;
        let text = caller.file("text", b"hello")?;
        let (library, text) = (library.as_str(), text.as_str());
        let refused = [&["nowhere.wasm"][..], &[library], &[text], &["--annotation", "clokc=x", library]];
        for words in refused {
            let refused = caller.run(words)?;
            assert_eq!((refused.code, refused.stdout.as_str()), (125, ""), "{words:?} {refused}");
            let last = refused.stderr.lines().last().unwrap_or_default();
            assert!(last.starts_with("error: "), "{words:?} {refused}");
        }
        let refused = caller.run(&["--json", "nowhere.wasm"])?;
        assert_eq!(json_lines(&refused.stderr)?, ["error", "125"], "{refused}");
        let usage = caller.run(&["--cpus", "many", library])?;
        assert_eq!(usage.code, 2, "{usage}");
        Ok(())
    })
}

/// Of each line, which event it is, or the exit code.
fn json_lines(text: &str) -> Result<Vec<String>> {
    let mut kinds = Vec::new();
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let member = |name| value.get(name).unwrap_or(&serde_json::Value::Null);
        let kind = member("event").as_str().map_or_else(|| member("exit-code").to_string(), str::to_owned);
        kinds.push(kind);
    }
    Ok(kinds)
}

#[test]
fn without_namespaces_there_is_no_run_and_the_code_says_so() -> Result<()> {
    by(0, |caller| {
        let hello = caller.guest("hello.wasm")?;
        let running = caller.spawn_by(&["setpriv", "--bounding-set=-sys_admin", "--"], &["run", &hello])?;
        running.says("error: this root may make no namespaces")?;
        assert_eq!(running.code()?, 125);
        Ok(())
    })
}

#[test]
fn output_that_cannot_be_written_is_told_and_ends_the_run() -> Result<()> {
    both(|caller| {
        let full = ["sh", "-c", "exec \"$0\" \"$@\" >/dev/full"];
        let hello = caller.guest("hello.wasm")?;
        let running = caller.spawn_by(&full, &["run", &hello])?;
        running.says("error: cannot write the output: No space left on device")?;
        assert_eq!(running.code()?, 125);
        Ok(())
    })
}

/// Writes a line without an end to stderr.
const HALF: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\10\00\00\00\04\00\00\00") (data (i32.const 16) "half")
    (func (export "_start") (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

#[test]
fn the_last_line_of_json_is_a_line_of_its_own() -> Result<()> {
    both(|caller| {
        let half = caller.file("half.wat", HALF.as_bytes())?;
        let ended = caller.run(&["--json", &half])?;
        assert_eq!((ended.code, ended.stderr.as_str()), (0, "half\n{\"exit-code\":0}\n"), "{ended}");
        Ok(())
    })
}

#[test]
fn signals_that_the_caller_ignores_are_not_the_guests_and_ctrl_z_stops_nothing() -> Result<()> {
    both(|caller| {
        let waits = caller.file("waits.wat", speaker("here", true).as_bytes())?;
        let ignoring = ["sh", "-c", "trap '' INT; exec \"$0\" \"$@\""];
        let running = caller.spawn_by(&ignoring, &["run", "--profile", "standard", &waits])?;
        running.says("here")?;
        running.signal(rustix::process::Signal::INT)?;
        running.signal(rustix::process::Signal::TSTP)?;
        let status = format!("/proc/{}/stat", running.process()?.pid);
        running.signal(rustix::process::Signal::TERM)?;
        // A stopped one would not end.
        let has_ended = || Ok(fs::read_to_string(&status).map_or(true, |text| text.contains(") Z ")));
        eventually("it ends", 60, has_ended)?;
        assert_eq!(running.code()?, 143);
        Ok(())
    })
}

#[test]
fn a_run_that_is_killed_leaves_nothing_behind() -> Result<()> {
    both(|caller| {
        let waits = caller.file("waits.wat", speaker("here", true).as_bytes())?;
        let running = caller.spawn(&["run", "--profile", "standard", &waits])?;
        running.says("here")?;
        let all = descendants(running.process()?.pid)?;
        ensure!(all.iter().any(|(_, line)| line.contains(" host ")), "no host runs: {all:?}");
        running.signal(rustix::process::Signal::KILL)?;
        drop(running.code());
        let lives = |(process, line): &(PathBuf, String)| command_line(process).is_ok_and(|now| now == *line);
        eventually("all of it has ended", 30, || Ok(!all.iter().any(lives)))?;
        eventually("all of it has ended", 30, || Ok(caller.nest.processes()?.is_empty()))
    })
}

#[test]
fn dev_runs_anew_what_changes_and_keeps_what_runs_when_a_build_fails() -> Result<()> {
    both(|caller| {
        project(caller, &speaker("first", false))?;
        let dev = caller.spawn(&["dev"])?;
        dev.says("first")?;
        dev.says("ended with code 0")?;
        caller.file("src.wat", b"(module")?;
        dev.says("error: ")?;
        caller.file("src.wat", speaker("second", true).as_bytes())?;
        dev.says("second")?;
        caller.file("src.wat", speaker("third", false).as_bytes())?;
        dev.says("third")?;
        dev.signal(rustix::process::Signal::INT)?;
        assert_eq!(dev.code()?, 0);
        Ok(())
    })
}

#[test]
fn a_folder_of_a_project_is_watched_although_its_first_build_failed() -> Result<()> {
    by(SOMEBODY, |caller| {
        for folder in ["app", "lib"].map(|name| caller.home().join(name)) {
            fs::create_dir(&folder)?;
            chown(&folder, Some(caller.uid), Some(caller.uid))?;
        }
        caller.file("app/run.toml", b"name = \"app\"\nversion = \"1.0.0\"\n[components.app]\ndir = \"../lib\"\nbuild = \"cp src.wat app.wat\"\noutput = \"app.wat\"\n")?;
        let dev = caller.spawn(&["dev", "--json", "app"])?;
        dev.says("\"event\":\"error\"")?;
        caller.file("lib/src.wat", speaker("mended", false).as_bytes())?;
        dev.says("mended")?;
        dev.signal(rustix::process::Signal::INT)?;
        assert_eq!(dev.code()?, 0);
        Ok(())
    })
}

#[test]
fn a_server_keeps_its_port_while_dev_replaces_it() -> Result<()> {
    by(SOMEBODY, |caller| {
        caller
            .file("run.toml", b"name = \"app\"\nversion = \"1.0.0\"\n[components]\napp = \"app.wasm\"\n")?;
        caller.file("app.wasm", &guest("serve.wasm")?)?;
        let dev = caller.spawn(&["dev", "-p", "9090:8080"])?;
        dev.says("running at http://127.0.0.1:9090")?;
        assert!(caller.get(9090, "/")?.starts_with("HTTP/1.1 200"));
        caller.file("app.wasm", &guest("serve.p3.wasm")?)?;
        // Whoever comes meanwhile is answered by the old one or the new one, and refused by none.
        let (done, is_done) = mpsc::channel::<()>();
        std::thread::scope(|scope| -> Result<()> {
            let clients = scope.spawn(move || -> Result<u32> {
                let mut answered = 0;
                while is_done.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    let answer = caller.get(9090, "/")?;
                    ensure!(answer.starts_with("HTTP/1.1 200"), "after {answered}: {answer}");
                    answered += 1;
                }
                Ok(answered)
            });
            dev.says("running at http://127.0.0.1:9090")?;
            drop(done);
            let answered = clients.join().map_err(|_| anyhow::anyhow!("the clients panicked"))??;
            ensure!(answered > 0, "nobody came");
            Ok(())
        })?;
        dev.signal(rustix::process::Signal::TERM)?;
        assert_eq!(dev.code()?, 0);
        Ok(())
    })
}
