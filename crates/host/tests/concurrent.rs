//! Components with async functions, streams and futures: WASI 0.3, on an engine of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "compiled code is loaded by the wrong engine, to see it refused")]

mod support;

use grants::{Mode, Profile};
use host::engine::{Build, Engines, Flavour};
use support::{async_command, command, compiled, guest};
use wasmtime::component::Component;

const STANDARD: Build = Build { profile: Profile::Standard, mode: Mode::Normal };

#[test]
fn an_async_command_ends_with_0_or_1_as_its_run_says() {
    for code in [0, 1] {
        let run = format!(
            r#"(func (export "run") (result i32) (call $return (i32.const {code})) (i32.const 0 (; exit ;)))"#
        );
        let ended = guest(&async_command(&run)).run();
        assert_eq!((ended.outcome.code, ended.outcome.reason), (code, None));
    }
}

#[test]
fn a_trap_of_an_async_command_names_the_functions() {
    let run =
        r#"(func $inner unreachable) (func $outer (export "run") (result i32) (call $inner) (i32.const 0))"#;
    let ended = guest(&async_command(run)).run();
    let reason = ended.outcome.reason.unwrap();
    assert_eq!(ended.outcome.code, 134);
    assert!(
        reason.starts_with("wasm trap: wasm `unreachable` instruction executed\nWasm backtrace"),
        "{reason}"
    );
    assert!(reason.find("!inner").unwrap() < reason.find("!outer").unwrap(), "innermost first: {reason}");
    assert_eq!(ended.stderr, format!("{reason}\n"));
}

#[test]
fn an_async_command_that_waits_for_nothing_is_ended() {
    let run = r#"(func (export "run") (result i32) (i32.or (i32.const 2 (; wait ;)) (i32.shl (call $set) (i32.const 4))))"#;
    let ended = guest(&async_command(run)).run();
    assert_eq!(ended.outcome.code, 134);
    assert!(ended.stderr.contains("deadlock"), "{}", ended.stderr);
}

#[test]
fn a_guest_that_makes_streams_without_end_is_ended() {
    let run = r#"(func $bomb (export "run") (result i32) (loop $again (drop (call $stream)) (br $again)) (unreachable))"#;
    let ended = guest(&async_command(run)).run();
    assert_eq!(ended.outcome.code, 134);
    assert!(ended.stderr.contains("!bomb") && !ended.stderr.contains("unreachable"), "{}", ended.stderr);
}

#[test]
fn an_async_function_runs_by_its_name() {
    let library = r#"(component
        (core module $m (func (export "answer") (result i32) (i32.const 42)))
        (core instance $i (instantiate $m))
        (func (export "answer") async (result u32) (canon lift (core func $i "answer"))))"#;
    let ended = guest(library).function("answer").run();
    assert_eq!((ended.outcome.code, ended.stdout.as_str()), (0, "42\n"));
}

#[test]
fn both_releases_of_wasi_are_found_by_one_component() {
    let import = |version, function| {
        format!(
            r#"(import "wasi:cli/environment@{version}" (instance
                (export "{function}" (func (result (option string))))))"#
        )
    };
    let rest = r#"(core module $m (func (export "run") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $command (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $command)))"#;
    // The host's newest, older ones, and newer ones that ask for nothing new.
    for (second, third) in [("0.2.12", "0.3.0"), ("0.2.0", "0.3.0"), ("0.2.99", "0.3.99")] {
        let wat = format!(
            "(component {} {} {rest}",
            import(second, "initial-cwd"),
            import(third, "get-initial-cwd")
        );
        assert_eq!(guest(&wat).run().outcome.code, 0, "{second} {third}");
    }
}

#[test]
fn code_says_of_which_engine_it_is_and_no_other_runs_it() {
    let plain = command(r#"(func (export "run") (result i32) (i32.const 0))"#);
    let concurrent = async_command(r#"(func (export "run") (result i32) (i32.const 0))"#);
    let engines = Engines::default();
    let (none, all) = (Flavour::plain(STANDARD), Flavour::concurrent(STANDARD));
    for (wat, own, other) in [(plain, none, all), (concurrent, all, none)] {
        let (report, code) = compiled(wat.as_bytes(), u64::MAX);
        assert_eq!(report.unwrap().flavour, own);
        // SAFETY: the code was written by this test's own compiler a moment ago.
        let load = |flavour| unsafe { Component::deserialize_file(&engines.get(flavour).unwrap(), &code) };
        assert!(load(own).is_ok());
        let error = format!("{:#}", load(other).err().unwrap());
        assert!(error.contains("incompatible version"), "{error}");
    }
}
