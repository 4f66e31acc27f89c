//! Full disks, folders that cannot be written, signals, huge files: what the program leaves then is whole, or not there. Needs
//! root, for file systems of the tests' own.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use support::Shell;

const HELLO: &str = r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
const PROJECT: &str = "name = \"big\"\nversion = \"1.0.0\"\n[components]\nbig = \"big.wat\"\n";

/// A component with some hundred KiB of data, which is too much for the file systems below.
fn big(letter: &str) -> String {
    format!(
        r#"(component (core module (memory 10) (data (i32.const 0) "{}"))
            (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#,
        letter.repeat(400_000)
    )
}

fn shell() -> Shell {
    let big = big("a");
    let files = [("run.toml", PROJECT), ("big.wat", &big), ("hello.wat", HELLO)];
    let shell = Shell::with(&files.map(|(name, text)| (name, text.as_bytes())));
    fs::create_dir(shell.path("small")).unwrap();
    shell
}

/// Runs a script that sees, in a mount namespace of its own, a file system of 64 KiB at `small`; `$RUN` is the program. What it
/// prints.
fn on_a_small_disk(shell: &Shell, options: &str, script: &str) -> String {
    let mount = format!("mount -t tmpfs -o {options} tmpfs small && exec 2>&1\n{script}");
    let mut command = shell.by("unshare", &["--mount", "sh", "-c", &mount]);
    let output = command.env("RUN", env!("CARGO_BIN_EXE_run-wasm")).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let shell = shell();
    let said = on_a_small_disk(
        &shell,
        "size=64k",
        "$RUN image --name a/b:1 -o small/x.tar hello.wat >/dev/null; sha256sum small/x.tar
        for words in 'image --name a/b:1 -o small/x.tar big.wat' 'build -q --output tar:small/x.tar' \
            'build -q --output oci:small/layout' 'compose big.wat -o small/x.wasm' 'build -q --output tar:x.tar --sbom small/x.tar/y'; do
          $RUN $words && echo it was written
        done
        ls -A small; sha256sum small/x.tar",
    );
    let lines: Vec<&str> = said.lines().collect();
    let errors = lines.iter().filter(|line| line.starts_with("error: cannot write small/"));
    assert_eq!(errors.count(), 5, "{said}");
    assert_eq!(lines.iter().filter(|line| line.contains("No space left on device")).count(), 4, "{said}");
    assert!(!said.contains("it was written"), "{said}");
    assert_eq!(lines.iter().rev().nth(1), Some(&"x.tar"), "{said}");
    assert_eq!(lines.first(), lines.last());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let shell = shell();
    let said = on_a_small_disk(
        &shell,
        "ro",
        "for words in 'image --name a/b:1 -o small/x.tar hello.wat' 'build -q --output oci:small/x' 'sign --generate-key small/x'; do
          $RUN $words && echo it was written
        done
        cp run.toml big.wat small 2>/dev/null; ls -A small",
    );
    assert_eq!(said.lines().count(), 3, "{said}");
    for line in said.lines() {
        assert!(line.starts_with("error: cannot write small/x"), "{line}");
        assert!(line.contains("Read-only file system"), "{line}");
    }
}

#[test]
fn files_of_gigabytes_are_refused_by_a_sentence() {
    let shell = shell();
    for (name, head) in [("huge.wasm", &b"\0asm\x0d\0\x01\0"[..]), ("huge.tar", b"")] {
        let mut file = File::create(shell.path(name)).unwrap();
        file.write_all(head).unwrap();
        file.set_len(2 << 30).unwrap();
    }
    for words in [
        &["inspect", "huge.wasm"][..],
        &["scaffold", "huge.wasm"],
        &["image", "--name", "a/b:1", "-o", "x.tar", "huge.wasm"],
        &["compose", "hello.wat", "--plug", "huge.wasm", "-o", "x.wasm"],
    ] {
        let sentence = shell.refused_at_once(words);
        assert!(sentence.contains("huge.wasm has more than 1073741824 bytes"), "{sentence}");
    }
    fs::write(shell.path("run.toml"), PROJECT.replace("big.wat", "huge.wasm")).unwrap();
    assert!(shell.refused(&["build"]).contains("./huge.wasm has more than 1073741824 bytes"));
    assert!(
        shell
            .refused(&["push", "huge.tar", "localhost:1/a:1"])
            .contains("huge.tar cannot be used: it is no OCI")
    );
    assert!(!shell.path("x.tar").exists() && !shell.path("run.lock.toml").exists());
}

/// Until `file` is there.
fn wait_for(shell: &Shell, file: &str) {
    let begin = Instant::now();
    while !shell.path(file).exists() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{file} does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, signal: &str) {
    let kill = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

#[test]
fn an_interrupted_build_ends_all_that_it_has_begun_and_writes_nothing() {
    for name in ["-INT", "-TERM", "-HUP", "-QUIT"] {
        let shell = shell();
        let build = "sleep 4321 & echo $! > sleeper; touch begun; wait";
        let text = PROJECT.replace(
            "[components]\nbig = \"big.wat\"",
            "[components.big]\nbuild = \"@\"\noutput = \"big.wat\"",
        );
        fs::write(shell.path("run.toml"), text.replace('@', build)).unwrap();
        // Whoever runs the tests may have them ignore some.
        let mut command = shell.by("env", &["--default-signal", env!("CARGO_BIN_EXE_run-wasm"), "build"]);
        let mut running = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&shell, "begun");
        let sleeper = fs::read_to_string(shell.path("sleeper")).unwrap();
        let command_line = format!("/proc/{}/cmdline", sleeper.trim());
        let sleeps = || fs::read(&command_line).is_ok_and(|line| line.starts_with(b"sleep"));
        let begin = Instant::now();
        while !sleeps() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{command_line}");
            std::thread::sleep(Duration::from_millis(5));
        }
        signal(&running, name);
        assert_eq!(running.wait().unwrap().code(), Some(1));
        // Of a process that has ended the kernel tells no command line, if it tells anything.
        let begin = Instant::now();
        while sleeps() {
            assert!(begin.elapsed() < Duration::from_secs(60), "{command_line}");
            std::thread::sleep(Duration::from_millis(5));
        }
        let left = ["big.tar", "run.lock.toml"].iter().any(|file| shell.path(file).exists());
        assert!(!left);
    }
}

#[test]
fn what_the_caller_ignores_does_not_end_a_build() {
    let shell = shell();
    let text = PROJECT.replace(
        "[components]\nbig = \"big.wat\"",
        "[components.big]\nbuild = \"touch begun; until test -e go; do sleep 0.01; done\"\noutput = \"big.wat\"",
    );
    fs::write(shell.path("run.toml"), text).unwrap();
    let mut command = shell.by("sh", &["-c", "trap '' HUP; exec $RUN build --quiet"]);
    command.env("RUN", env!("CARGO_BIN_EXE_run-wasm")).stdout(Stdio::null());
    let mut running = command.spawn().unwrap();
    wait_for(&shell, "begun");
    signal(&running, "-HUP");
    fs::write(shell.path("go"), "").unwrap();
    assert!(running.wait().unwrap().success());
    assert!(shell.path("big.tar").exists());
}

#[test]
fn a_build_that_asks_at_the_terminal_fails_and_does_not_stop() {
    let shell = shell();
    let text = PROJECT.replace(
        "[components]\nbig = \"big.wat\"",
        "[components.big]\nbuild = \"read answer </dev/tty\"\noutput = \"big.wat\"",
    );
    fs::write(shell.path("run.toml"), text).unwrap();
    let script = ["-k", "1", "30", "script", "--quiet", "--return", "--command", "$RUN build", "/dev/null"];
    let mut command = shell.by("timeout", &script);
    let output = command.env("RUN", env!("CARGO_BIN_EXE_run-wasm")).stdin(Stdio::null()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{shown}");
    assert!(shown.contains("was not built"), "{shown}");
}

#[test]
fn a_signal_waits_until_a_file_is_whole() {
    // The reader of the pipe is slow: the signal comes in the middle of the file.
    let shell = shell();
    let fifo = shell.path("fifo");
    assert!(shell.by("mkfifo", &["fifo"]).status().unwrap().success());
    let mut running = shell
        .command(&["image", "--name", "a/b:1", "-o", "fifo", "big.wat"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut reader = File::open(&fifo).unwrap();
    signal(&running, "-INT");
    std::thread::sleep(Duration::from_millis(50));
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
    running.wait().unwrap();
    shell.ok(&["image", "--name", "a/b:1", "-o", "x.tar", "big.wat"]);
    assert_eq!(bytes, fs::read(shell.path("x.tar")).unwrap());
}

#[test]
fn on_a_terminal_progress_is_bars_and_elsewhere_lines() {
    let shell = shell();
    let text = PROJECT.replace(
        "[components]\nbig = \"big.wat\"",
        "[components.big]\nbuild = \"sleep 0.5\"\noutput = \"big.wat\"",
    );
    fs::write(shell.path("run.toml"), text).unwrap();
    let mut command = shell.by("script", &["--quiet", "--return", "--command", "$RUN build", "/dev/null"]);
    let output = command.env("RUN", env!("CARGO_BIN_EXE_run-wasm")).env("TERM", "xterm").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    // A spinner is drawn over itself.
    assert!(shown.matches("big: building").count() > 1 && shown.contains("\u{1b}["), "{shown:?}");
    assert!(shown.contains("big: built in ") && shown.contains("localhost/big:1.0.0@sha256:"), "{shown:?}");
    let lines = String::from_utf8(shell.run(&["build"]).stderr).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert!(
        lines.len() == 4 && lines[0] == "big: building" && lines[1].starts_with("big: built in"),
        "{lines:?}"
    );
    assert_eq!(shell.run(&["build", "--quiet"]).stderr, b"");
    let json = String::from_utf8(shell.run(&["build", "--json"]).stderr).unwrap();
    assert!(json.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{json}");
}
