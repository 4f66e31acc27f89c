//! What a guest is refused with before any of its code runs, and which of its functions run.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use host::guest::PrepareError;
use support::{guest, module};

const LIBRARY: &str = r#"(component
    (core module $m
        (memory (export "memory") 1)
        (data (i32.const 16) "\20\00\00\00\05\00\00\00")
        (data (i32.const 32) "h\"llo")
        (func (export "answer") (result i32) (i32.const 42))
        (func (export "greet") (result i32) (i32.const 16))
        (func (export "fails") (result i32) (i32.const 1))
        (func (export "quiet"))
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
    (core instance $i (instantiate $m))
    (func (export "answer") (result u32) (canon lift (core func $i "answer")))
    (func (export "greet") (result string) (canon lift (core func $i "greet") (memory (core memory $i "memory"))))
    (func (export "fails") (result (result)) (canon lift (core func $i "fails")))
    (func (export "quiet") (canon lift (core func $i "quiet")))
    (func $add (param "left" u32) (param "right" u32) (result u32) (canon lift (core func $i "add")))
    (func $inner (result u32) (canon lift (core func $i "answer")))
    (export "add" (func $add))
    (instance $tools (export "inner" (func $inner)))
    (export "acme:tools/calc@1.2.3" (instance $tools)))"#;

#[test]
fn a_missing_import_is_named_with_what_there_is() {
    let component = r#"(component (import "acme:store/kv@1.0.0" (instance (export "get" (func)))) "#;
    let rest = r#"(core module $m (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $command (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $command)))"#;
    assert_eq!(
        guest(&format!("{component}{rest}")).refused().to_string(),
        "the Wasm imports `acme:store/kv@1.0.0`, which this host does not have (function implementation is missing); \
         components find wasi:cli, wasi:clocks, wasi:filesystem, wasi:http, wasi:io, wasi:random and wasi:sockets here, \
         version 0.2.12 or an earlier 0.2, and all of them but wasi:io in version 0.3.0; also \
         wasi:config/store@0.2.0-rc.1 and wasi:logging/logging: build it for these, or compose it with what it misses"
    );
    let module = r#"(module (import "env" "magic" (func)) (func (export "_start")))"#;
    assert_eq!(
        guest(module).refused().to_string(),
        "the Wasm imports `env::magic`, which this host does not have; core modules find WASI preview 1 here \
         (`wasi_snapshot_preview1`): build it for these, or compose it with what it misses"
    );
}

#[test]
fn wasm_without_an_entry_point_is_refused_with_what_it_exports() {
    assert_eq!(
        guest(LIBRARY).refused().to_string(),
        "the Wasm has nothing to run: a component has `wasi:cli/run` or a handler of `wasi:http`, 0.2 or 0.3, or a function that is named as \
         `path#function`; it exports `add`, `acme:tools/calc@1.2.3`, `answer`, `greet`, `fails` and `quiet`"
    );
    assert_eq!(
        guest("(module)").refused().to_string(),
        "the Wasm has nothing to run: a core module has `_start`, or a function that is named as `path#function`; it \
         exports nothing"
    );
}

#[test]
fn a_component_that_serves_http_has_no_place_in_the_strict_profile() {
    let server = r#"(component
        (core module $m (func (export "handle")))
        (core instance $i (instantiate $m))
        (func $handle (canon lift (core func $i "handle")))
        (instance $handler (export "handle" (func $handle)))
        (export "wasi:http/incoming-handler@0.2.3" (instance $handler)))"#;
    let strict =
        guest(server).granted(serde_json::json!({ "annotations": { "run.wasm/profile": "strict" } }));
    assert_eq!(
        strict.refused().to_string(),
        "the component serves HTTP, and the strict profile has no network: write run.wasm/profile: standard"
    );
}

#[test]
fn a_named_function_runs_and_its_result_is_printed() {
    let print = |name| {
        let ended = guest(LIBRARY).function(name).run();
        (ended.outcome.code, ended.stdout)
    };
    assert_eq!(print("answer"), (0, "42\n".to_owned()));
    assert_eq!(print("greet"), (0, "\"h\\\"llo\"\n".to_owned()));
    assert_eq!(print("fails"), (1, "err\n".to_owned()));
    assert_eq!(print("quiet"), (0, String::new()));
    assert_eq!(print("acme:tools/calc@1.2.3#inner"), (0, "42\n".to_owned()));
}

#[test]
fn a_modules_function_runs_after_its_initializer() {
    let wat = module(
        r#"(global $answer (mut i32) (i32.const 0))
           (func (export "_initialize") (global.set $answer (i32.const 42)))
           (func (export "answer") (result i32) (global.get $answer))"#,
    );
    let ended = guest(&wat).function("answer").run();
    assert_eq!((ended.outcome.code, ended.stdout.as_str()), (0, "42\n"));
}

#[test]
fn an_unknown_function_is_refused_with_those_that_there_are() {
    assert_eq!(
        guest(LIBRARY).function("anser").refused().to_string(),
        "there is no function `anser` in the Wasm; its functions are `add`, \
         `acme:tools/calc@1.2.3#inner`, `answer`, `greet`, `fails` and `quiet`"
    );
    assert_eq!(
        guest(r#"(module (func (export "a")) (func (export "b")))"#).function("c").refused().to_string(),
        "there is no function `c` in the Wasm; its functions are `a` and `b`"
    );
}

#[test]
fn a_function_with_parameters_is_refused_with_their_names() {
    assert_eq!(
        guest(LIBRARY).function("add").refused().to_string(),
        "the function `add` takes parameters (left, right); only a function without can be run"
    );
}

#[test]
fn code_of_another_engine_asks_for_new_code() {
    let engine = wasmtime::Engine::default();
    for code in
        [engine.precompile_module(b"\0asm\x01\0\0\0").unwrap(), b"not code at all".to_vec(), Vec::new()]
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, code).unwrap();
        let error = prepare(file.path());
        assert!(matches!(error, PrepareError::Stale(_)), "{error}");
    }
}

#[test]
fn code_that_is_not_there_is_no_reason_to_compile() {
    assert!(matches!(prepare("/nonexistent".as_ref()), PrepareError::Code(_)));
}

fn prepare(code: &std::path::Path) -> PrepareError {
    let launch = host::guest::Launch {
        code: code.to_owned(),
        root: None,
        grants: support::granted(serde_json::json!({})),
        denials: host::guest::Denials::new(|_| {}),
        server: host::guest::Handle::new(|_| {}),
        names: Default::default(),
        roots: None,
        stdin: None,
        stdout: None,
        stderr: None,
    };
    host::guest::prepare(&host::guest::Library::default(), launch).err().unwrap()
}
