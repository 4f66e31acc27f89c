//! What a trap leaves in the file that `run.wasm/coredump` names.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;

use grants::Policy;
use serde_json::{Value, json};
use support::{Ended, async_command, command, guest, module};
use tempfile::TempDir;
use wasmparser::{BinaryReader, CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection};
use wasmparser::{CoreDumpStackSection, DataKind, Operator, Parser, Payload, Validator};

/// What a core dump says.
#[derive(Debug, Default, PartialEq)]
struct Dump {
    name: String,
    modules: Vec<String>,
    /// How many memories and globals each instance has.
    instances: Vec<(usize, usize)>,
    /// The functions on the stack, innermost first.
    functions: Vec<u32>,
    /// Pages of memories.
    memories: Vec<u64>,
    globals: usize,
    /// Where segments begin, and what they hold.
    data: Vec<(i32, Vec<u8>)>,
}

fn read(file: &Path) -> Dump {
    let bytes = fs::read(file).unwrap();
    Validator::new().validate_all(&bytes).unwrap();
    let mut dump = Dump::default();
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            Payload::CustomSection(section) => {
                let reader = || BinaryReader::new(section.data(), section.data_offset());
                match section.name() {
                    "core" => dump.name = CoreDumpSection::new(reader()).unwrap().name.to_owned(),
                    "coremodules" => {
                        let modules = CoreDumpModulesSection::new(reader()).unwrap().modules;
                        dump.modules = modules.into_iter().map(str::to_owned).collect();
                    }
                    "coreinstances" => {
                        let instances = CoreDumpInstancesSection::new(reader()).unwrap().instances;
                        dump.instances =
                            instances.iter().map(|one| (one.memories.len(), one.globals.len())).collect();
                    }
                    "corestack" => {
                        let frames = CoreDumpStackSection::new(reader()).unwrap().frames;
                        dump.functions = frames.iter().map(|frame| frame.funcidx).collect();
                    }
                    other => panic!("a section {other}"),
                }
            }
            Payload::MemorySection(all) => {
                dump.memories = all.into_iter().map(|memory| memory.unwrap().initial).collect();
            }
            Payload::GlobalSection(all) => dump.globals = all.count() as usize,
            Payload::DataSection(all) => {
                for segment in all {
                    let segment = segment.unwrap();
                    let DataKind::Active { offset_expr, .. } = segment.kind else {
                        panic!("a passive segment")
                    };
                    let Operator::I32Const { value } = offset_expr.get_operators_reader().read().unwrap()
                    else {
                        panic!("an offset that is no i32")
                    };
                    dump.data.push((value, segment.data.to_vec()));
                }
            }
            _ => {}
        }
    }
    dump
}

/// A guest that runs with `/dumps` for its dumps, of so many bytes.
struct Scene(TempDir);

impl Scene {
    fn new() -> Scene {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("dumps")).unwrap();
        Scene(root)
    }

    fn run(&self, wat: &str, max: &str, more: Value) -> Ended {
        let policy = Policy::parse(&format!("[limits]\ncoredump = \"{max}\"")).unwrap();
        let mut spec = json!({
            "annotations": { "run.wasm/coredump": "/dumps/core.wasm" },
            "mounts": [{ "type": "bind", "source": "/srv", "destination": "/dumps" }],
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        guest(wat).policy(&policy).granted(spec).root(self.0.path()).run()
    }

    fn dump(&self) -> Dump {
        read(&self.0.path().join("dumps/core.wasm"))
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.0.path().join("dumps")).unwrap().count() == 0
    }
}

/// Traps in `inner`, the function 3, which 4 calls. Its memory has 4 pages.
fn trapping(data: &str) -> String {
    module(&format!(
        r#"(global (export "answer") (mut i32) (i32.const 42)) {data}
           (func $inner unreachable) (func (export "_start") (call $inner))"#
    ))
}

#[test]
fn a_module_leaves_its_stack_its_memory_and_its_globals() {
    let scene = Scene::new();
    let ended = scene.run(
        &trapping(r#"(data (i32.const 100) "the first page") (data (i32.const 200000) "another")"#),
        "1MiB",
        json!({}),
    );
    let dump = scene.dump();
    assert_eq!(
        (dump.name.as_str(), dump.functions.as_slice(), dump.memories.as_slice()),
        ("/app.wasm", [3, 4].as_slice(), [4].as_slice())
    );
    assert_eq!((dump.modules.len(), dump.instances.as_slice(), dump.globals), (1, [(1, 1)].as_slice(), 1));
    assert_eq!(dump.data, [(100, b"the first page".to_vec()), (200_000, b"another".to_vec())]);
    let reason = ended.outcome.reason.unwrap();
    let mut lines = reason.lines();
    assert_eq!(lines.next(), Some("wasm trap: wasm `unreachable` instruction executed"));
    let size = fs::metadata(scene.0.path().join("dumps/core.wasm")).unwrap().len();
    assert_eq!(lines.next(), Some(format!("core dump: /dumps/core.wasm, {size} bytes").as_str()));
    assert_eq!(ended.stderr, format!("{reason}\n"));
}

#[test]
fn a_component_leaves_its_stack() {
    let body = "(func $inner unreachable) (func (export \"run\") (result i32) (call $inner) (i32.const 0))";
    let awaiting =
        r#"(func $inner unreachable) (func (export "run") (result i32) (call $inner) (i32.const 0))"#;
    for wat in [command(body), async_command(awaiting)] {
        let scene = Scene::new();
        let ended = scene.run(&wat, "1MiB", json!({}));
        assert_eq!(ended.outcome.code, 134, "{ended:?}");
        let dump = scene.dump();
        assert_eq!((dump.functions.len(), dump.modules.as_slice()), (2, ["guest".to_owned()].as_slice()));
        assert_eq!((dump.instances, dump.memories.len()), (vec![(0, 0)], 0));
    }
}

#[test]
fn a_component_leaves_the_memories_of_its_modules() {
    let scene = Scene::new();
    let wat = r#"(component
        (core module $library (memory (export "memory") 2) (data (i32.const 100) "of the library"))
        (core module $guest
            (import "library" "memory" (memory 1)) (memory 3) (global i32 (i32.const 7)) (data 1 (i32.const 8) "of the guest")
            (func (export "run") (result i32) unreachable))
        (core instance $library (instantiate $library))
        (core instance $guest (instantiate $guest (with "library" (instance $library))))
        (func $run (result (result)) (canon lift (core func $guest "run")))
        (instance $command (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $command)))"#;
    let ended = scene.run(wat, "1MiB", json!({}));
    assert_eq!(ended.outcome.code, 134, "{ended:?}");
    let dump = scene.dump();
    assert_eq!((dump.memories.as_slice(), dump.globals), ([2, 3].as_slice(), 1));
    assert_eq!(dump.data, [(100, b"of the library".to_vec()), (8, b"of the guest".to_vec())]);
    // The guest exports none of its own.
    assert_eq!((dump.modules.len(), dump.instances.as_slice()), (2, [(1, 0), (0, 0)].as_slice()));
}

#[test]
fn a_dump_has_at_most_the_bytes_that_the_node_allows() {
    let scene = Scene::new();
    let page = |at: usize| format!(r#"(data (i32.const {at}) "{}")"#, "x".repeat(4096));
    let wat = trapping(&[page(0), page(4096), page(8192)].concat());
    let reason = scene.run(&wat, "6KiB", json!({})).outcome.reason.unwrap();
    assert!(
        reason.contains("without 8192 bytes of memory: 6144 bytes, the node's limits.coredump,"),
        "{reason}"
    );
    assert!(fs::metadata(scene.0.path().join("dumps/core.wasm")).unwrap().len() <= 6144);
    assert_eq!(scene.dump().data.len(), 1);
    let none = scene.run(&wat, "10", json!({})).outcome.reason.unwrap();
    assert!(none.contains("core dump: none, /dumps/core.wasm cannot be written: 10 bytes"), "{none}");
}

#[test]
fn a_dump_needs_no_memory_of_the_guests() {
    let scene = Scene::new();
    // Most of the memory that it may have, all of it touched.
    let wat = r#"(module (memory (export "memory") 46)
        (func (export "_start")
            (memory.fill (i32.const 0) (i32.const 1) (i32.const 3014656)) unreachable))"#;
    let limit = json!({ "linux": { "resources": { "memory": { "limit": 4 << 20 } } } });
    let ended = scene.run(wat, "64MiB", limit);
    assert_eq!((ended.outcome.code, ended.outcome.oom), (134, false), "{ended:?}");
    assert_eq!(scene.dump().data.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), 46 << 16);
}

#[test]
fn other_ends_leave_none() {
    let scene = Scene::new();
    let grow = r#"(module (memory (export "memory") 1)
        (func (export "_start") (drop (memory.grow (i32.const 1000)))))"#;
    let limit = json!({ "linux": { "resources": { "memory": { "limit": 4 << 20 } } } });
    assert_eq!(scene.run(grow, "1MiB", limit).outcome.code, 137);
    let exit = module(r#"(func (export "_start") (call $exit (i32.const 3)))"#);
    assert_eq!(scene.run(&exit, "1MiB", json!({})).outcome.code, 3);
    assert!(scene.is_empty());
}

#[test]
fn a_place_that_cannot_be_written_is_said() {
    let scene = Scene::new();
    fs::remove_dir(scene.0.path().join("dumps")).unwrap();
    let reason = scene.run(&trapping(""), "1MiB", json!({})).outcome.reason.unwrap();
    assert!(
        reason.contains("\ncore dump: none, /dumps/core.wasm cannot be written: No such file"),
        "{reason}"
    );
    assert!(reason.contains("\nWasm backtrace"), "{reason}");
}
