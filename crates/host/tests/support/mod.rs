//! Guests from WAT, launched without a jail.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{PipeReader, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use grants::{Grants, Mode, Policy, Profile};
use host::compile::{CompileError, CompileReport, Limits, compile};
use host::engine::Build;
use host::guest::{self, Denials, Launch, Outcome, PrepareError};
use host::protocol::NameFiles;
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempPath};

/// A component whose `run` is the body of a core function that returns 0 for ok and 1 for err.
pub fn command(body: &str) -> String {
    format!(
        r#"(component
            (core module $guest {body})
            (core instance $guest (instantiate $guest))
            (func $run (result (result)) (canon lift (core func $guest "run")))
            (instance $command (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $command)))"#
    )
}

/// A component whose async `run` is a core function of that name, which has `$return`, to be called with 0 for ok and
/// 1 for err, `$set`, which makes a waitable set, and `$stream`, which makes both ends of a stream.
pub fn async_command(body: &str) -> String {
    format!(
        r#"(component
            (core func $return (canon task.return (result (result))))
            (core func $set (canon waitable-set.new))
            (type $bytes (stream u8))
            (core func $stream (canon stream.new $bytes))
            (core module $guest
                (import "host" "return" (func $return (param i32)))
                (import "host" "set" (func $set (result i32)))
                (import "host" "stream" (func $stream (result i64)))
                (func (export "callback") (param i32 i32 i32) (result i32) unreachable)
                {body})
            (core instance $guest (instantiate $guest
                (with "host" (instance
                    (export "return" (func $return)) (export "set" (func $set)) (export "stream" (func $stream))))))
            (func $run async (result (result))
                (canon lift (core func $guest "run") async (callback (core func $guest "callback"))))
            (instance $command (export "run" (func $run)))
            (export "wasi:cli/run@0.3.0" (instance $command)))"#
    )
}

/// A core module with WASI preview 1, from the fields after its imports and memory.
pub fn module(fields: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 4)
            {fields})"#
    )
}

/// Copies stdin to stdout, one read of at most 64 KiB at a time; any error is its exit code.
pub fn cat() -> String {
    module(
        r#"(func $check (param $error i32)
              (if (local.get $error) (then (call $exit (local.get $error)))))
           (func (export "_start")
              (loop $more
                (i32.store (i32.const 0) (i32.const 65536))
                (i32.store (i32.const 4) (i32.const 65536))
                (call $check (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (if (i32.load (i32.const 8)) (then
                  (i32.store (i32.const 4) (i32.load (i32.const 8)))
                  (call $check (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                  (br $more)))))"#,
    )
}

/// Compiles `input` as a compiler process does.
pub fn compiled(input: &[u8], limit: u64) -> (Result<CompileReport, CompileError>, TempPath) {
    compiled_for(Profile::Standard, input, limit)
}

/// The same for guests with this profile.
pub fn compiled_for(
    profile: Profile,
    input: &[u8],
    limit: u64,
) -> (Result<CompileReport, CompileError>, TempPath) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    file.rewind().unwrap();
    let (output, path) = NamedTempFile::new().unwrap().into_parts();
    let build = Build { profile, mode: Mode::Normal };
    (compile(file, output, build, Limits { input: limit }), path)
}

/// A guest about to be launched.
pub struct Guest {
    wat: String,
    root: Option<PathBuf>,
    policy: Policy,
    grants: Grants,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

/// How it ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    pub outcome: Outcome,
    pub stdout: String,
    pub stderr: String,
}

/// A guest from `wat` with the grants of the smallest spec and no streams.
pub fn guest(wat: &str) -> Guest {
    Guest {
        wat: wat.to_owned(),
        root: None,
        policy: Policy::default(),
        grants: granted(json!({})),
        stdin: None,
        stdout: None,
        stderr: None,
    }
}

/// The grants of the smallest spec whose `process`, `linux` or `annotations` are those of `change`.
pub fn granted(change: Value) -> Grants {
    granted_by(&Policy::default(), change)
}

/// The same on a node with this policy.
pub fn granted_by(policy: &Policy, change: Value) -> Grants {
    let mut spec = json!({
        "ociVersion": "1.1.0",
        "process": { "args": ["/app.wasm"], "cwd": "/", "user": { "uid": 0, "gid": 0 } },
        "root": { "path": "rootfs" },
    });
    for (key, value) in change.as_object().unwrap() {
        match (spec.get_mut(key), value.as_object()) {
            (Some(Value::Object(old)), Some(new)) => old.extend(new.clone()),
            _ => drop(spec.as_object_mut().unwrap().insert(key.clone(), value.clone())),
        }
    }
    grants::derive(&serde_json::from_value(spec).unwrap(), policy).unwrap()
}

impl Guest {
    pub fn granted(mut self, change: Value) -> Self {
        self.grants = granted_by(&self.policy, change);
        self
    }

    /// On a node with this policy. Comes before what is granted.
    pub fn policy(mut self, policy: &Policy) -> Self {
        self.policy = policy.clone();
        self
    }

    /// Gives it a directory as `/`.
    pub fn root(mut self, root: &Path) -> Self {
        self.root = Some(root.to_owned());
        self
    }

    /// Adds annotations, by their keys.
    pub fn annotated(self, annotations: &[(&str, &str)]) -> Self {
        let all = annotations.iter().map(|(key, value)| (format!("run.wasm/{key}"), Value::from(*value)));
        self.granted(json!({ "annotations": all.collect::<serde_json::Map<_, _>>() }))
    }

    /// Names the function to run.
    pub fn function(self, name: &str) -> Self {
        self.granted(json!({ "process": { "args": [format!("/app.wasm#{name}")] } }))
    }

    pub fn stdin(mut self, fd: impl Into<OwnedFd>) -> Self {
        self.stdin = Some(fd.into());
        self
    }

    pub fn stdout(mut self, fd: impl Into<OwnedFd>) -> Self {
        self.stdout = Some(fd.into());
        self
    }

    /// The sentence with which it is refused.
    pub fn refused(self) -> PrepareError {
        match self.prepare().1 {
            Ok(_) => panic!("nothing was wrong"),
            Err(error) => error,
        }
    }

    /// Runs on a thread of its own, with the streams that were given.
    pub fn start(self) -> JoinHandle<Outcome> {
        std::thread::spawn(|| {
            let (_code, prepared) = self.prepare();
            guest::run(prepared.unwrap(), None)
        })
    }

    /// Runs to the end and collects what was written.
    pub fn run(self) -> Ended {
        let (stdout, out) = collected();
        let (stderr, err) = collected();
        let running = Self { stdout: Some(out), stderr: Some(err), ..self }.start();
        let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
        Ended { outcome: running.join().unwrap(), stdout, stderr }
    }

    fn prepare(self) -> (TempPath, Result<guest::Prepared, PrepareError>) {
        let Self { wat, root, policy: _, grants, stdin, stdout, stderr } = self;
        let (report, code) = compiled_for(grants.profile(), wat.as_bytes(), u64::MAX);
        report.unwrap();
        let launch = Launch {
            code: code.to_path_buf(),
            root,
            grants,
            denials: Denials::new(|_| {}),
            server: host::guest::Handle::new(|_| {}),
            names: NameFiles::default(),
            roots: None,
            stdin,
            stdout,
            stderr,
        };
        let prepared = guest::prepare(&host::guest::Library::default(), launch);
        (code, prepared)
    }
}

fn collected() -> (JoinHandle<String>, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (std::thread::spawn(move || text(reader)), writer.into())
}

/// All that comes out of a pipe.
pub fn text(mut reader: PipeReader) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

/// A pipe that holds `bytes` and then ends. Not more than fits into a pipe.
pub fn holding(bytes: &[u8]) -> PipeReader {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(bytes).unwrap();
    reader
}
