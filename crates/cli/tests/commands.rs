//! The program as its users see it: output, messages, exit codes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;

use support::Shell;

const HELLO: &str = r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;

#[test]
fn inspect_prints_a_table_or_json() {
    let shell = Shell::with(&[("hello.wat", HELLO.as_bytes())]);
    assert!(shell.ok(&["inspect", "hello.wat"]).contains("command (wasi:cli/run@0.2.0)"));
    let json: serde_json::Value =
        serde_json::from_str(&shell.ok(&["inspect", "--output", "json", "hello.wat"])).unwrap();
    assert_eq!(json["world"]["kind"], "command");
}

#[test]
fn what_is_no_wasm_is_refused_in_a_sentence() {
    let shell = Shell::with(&[
        ("x", b"hello"),
        ("empty", b""),
        ("cut.wasm", b"\0asm\x0d\0\x01\0\x07"),
        ("bad.wat", b"(modul)"),
        ("sh", b"#!/bin/sh"),
    ]);
    for (file, word) in [
        ("x", "x is neither WebAssembly nor a native program: give"),
        ("empty", "empty is empty"),
        ("cut.wasm", "no valid Wasm"),
        ("bad.wat", "no correct WebAssembly text"),
        ("sh", "native script"),
        ("missing", " missing"),
    ] {
        for command in [&["inspect", file][..], &["image", "--name", "a/b:1", file]] {
            let output = shell.run(command);
            let sentence = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1));
            assert!(sentence.starts_with("error: ") && sentence.contains(word), "{sentence}");
        }
    }
}

#[test]
fn an_image_is_written_and_named_by_its_digest() {
    let shell = Shell::with(&[("hello.wat", HELLO.as_bytes())]);
    let pack = |format: &str, output: &str| {
        shell.ok(&[
            "image",
            "--name",
            "localhost/hello:1",
            "--env",
            "A=b=c",
            "--user",
            "65532",
            "--format",
            format,
            "-o",
            output,
            "hello.wat",
        ])
    };
    for format in ["image", "artifact", "rootfs"] {
        let line = pack(format, "one.tar");
        assert!(line.starts_with("localhost/hello:1@sha256:") && line.lines().count() == 1, "{line}");
        assert_eq!(pack(format, "two.tar"), line);
        assert_eq!(
            fs::read(shell.folder().join("one.tar")).unwrap(),
            fs::read(shell.folder().join("two.tar")).unwrap()
        );
    }
    let left: Vec<_> = fs::read_dir(shell.folder()).unwrap().collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

#[test]
fn an_image_goes_to_stdout_just_as_to_a_file() {
    let shell = Shell::with(&[("hello.wat", HELLO.as_bytes())]);
    shell.ok(&["image", "--name", "a/b:1", "--output", "x.tar", "hello.wat"]);
    let output = shell.run(&["image", "--name", "a/b:1", "hello.wat"]);
    assert_eq!(output.stdout, fs::read(shell.folder().join("x.tar")).unwrap());
}

#[test]
fn a_refused_image_leaves_no_file() {
    let shell = Shell::with(&[("hello.wat", HELLO.as_bytes()), ("a/hello.wat", HELLO.as_bytes())]);
    let sentence =
        shell.refused_at_once(&["image", "--name", "a/b:1", "-o", "x.tar", "hello.wat", "a/hello.wat"]);
    assert!(sentence.contains("two files are called hello.wasm"), "{sentence}");
    assert!(
        shell
            .refused_at_once(&["image", "--name", "hello", "-o", "x.tar", "hello.wat"])
            .contains("registry/name:tag")
    );
    assert!(
        shell
            .refused_at_once(&["image", "--name", "a/b:1", "-o", "no/such/x.tar", "hello.wat"])
            .contains("cannot write no/such/x.tar")
    );
    assert!(!shell.folder().join("x.tar").exists());
}

#[test]
fn wrong_usage_exits_2() {
    let shell = Shell::with(&[]);
    for words in [
        &[][..],
        &["inspect"],
        &["image", "x.wasm"],
        &["image", "--name", "a/b:1", "--env", "A", "x"],
        &["no-such"],
    ] {
        assert_eq!(shell.run(words).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn ps_lists_living_and_stale_tasks() {
    let record = |id: &str, shim: u32| {
        format!(
            r#"{{"namespace": "default", "id": "{id}", "status": "running", "mode": "normal", "shim_pid": {shim}, "new": 1}}"#
        )
    };
    let me = std::process::id();
    let shell = Shell::with(&[
        ("tasks/0a-default/lives.json", record("lives", me).as_bytes()),
        ("tasks/0a-default/gone.json", record("gone", u32::MAX).as_bytes()),
        ("tasks/0a-default/broken.json", b"{"),
        ("tasks/0a-default/draft.new", b"{"),
    ]);
    let json: serde_json::Value =
        serde_json::from_str(&shell.ok(&["ps", "--state", ".", "--output", "json"])).unwrap();
    let seen: Vec<_> =
        json.as_array().unwrap().iter().map(|task| (task["id"].as_str(), task["status"].as_str())).collect();
    assert_eq!(seen, [(Some("gone"), Some("stale")), (Some("lives"), Some("running"))]);
    let output = shell.run(&["ps", "--state", "."]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warning.contains("broken.json") && !warning.contains("draft.new"), "{warning}");
}

#[test]
fn a_node_where_nothing_runs_has_an_empty_list() {
    let shell = Shell::with(&[]);
    assert_eq!(shell.ok(&["ps", "--state", "nowhere", "--output", "json"]), "[]\n");
    assert_eq!(shell.ok(&["ps", "--state", "nowhere"]).lines().count(), 1);
}

#[test]
fn the_grants_of_a_container_are_what_its_shim_recorded() {
    let record = |id: &str, grants: Option<&str>| {
        serde_json::json!({ "namespace": "k8s.io", "id": id, "shim_pid": 1, "grants": grants }).to_string()
    };
    let table = "entry      /app.wasm\negress     closed\n";
    let shell = Shell::with(&[
        ("tasks/0a-k8s.io/abc1.json", record("abc1", Some(table)).as_bytes()),
        ("tasks/0a-k8s.io/abc2.json", record("abc2", Some("another")).as_bytes()),
        ("tasks/0a-k8s.io/abc.json", record("abc", Some("whole")).as_bytes()),
        ("tasks/0a-k8s.io/pod.json", record("pod", None).as_bytes()),
    ]);
    let shown = shell.ok(&["inspect", "abc1", "--state", "."]);
    assert!(shown.ends_with(table) && shown.contains("\nid         abc1\n"), "{shown}");
    assert!(shell.ok(&["inspect", "abc", "--state", "."]).ends_with("whole"));
    assert_eq!(shell.ok(&["inspect", "abc1", "--grants", "--state", "."]), table);
    let json: serde_json::Value =
        serde_json::from_str(&shell.ok(&["inspect", "abc1", "--grants", "--output", "json", "--state", "."]))
            .unwrap();
    assert_eq!(json["grants"], table);
    let refused = |container: &str| shell.refused_at_once(&["inspect", container, "--state", "."]);
    assert!(refused("a").contains("k8s.io/abc1") && refused("a").contains("name one of them whole"));
    assert!(
        refused("gone")
            .contains("there is no file gone: run-wasm has no container gone on this node: `run-wasm ps`")
    );
    assert!(shell.ok(&["inspect", "pod", "--state", "."]).contains("the sandbox of a pod"));
    assert!(
        shell.refused_at_once(&["debug", "gone", "--state", "."]).contains("no container gone on this node")
    );
    let debug = shell.ok(&["debug", "abc1", "--state", "."]);
    assert!(debug.contains("unknown    usage: the bundle  has no address"), "{debug}");
    assert_eq!(shell.ok(&["top", "--state", ".", "--interval", "0.01", "--output", "json"]), "[]\n");
    assert!(shell.refused_at_once(&["top", "--interval", "0"]).contains("--interval"));
}
