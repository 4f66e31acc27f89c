//! How guests end: by themselves, by a trap, by their memory limit.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::json;
use support::{command, guest, module};

#[test]
fn a_module_ends_with_the_code_that_it_says() {
    for code in [0, 1, 7, 126, 137, 255] {
        let wat = module(&format!(r#"(func (export "_start") (call $exit (i32.const {code})))"#));
        let ended = guest(&wat).run();
        assert_eq!((i32::from(ended.outcome.code), ended.outcome.reason), (code, None));
    }
}

#[test]
fn a_module_that_returns_has_succeeded() {
    assert_eq!(guest(&module(r#"(func (export "_start"))"#)).run().outcome.code, 0);
}

#[test]
fn a_command_ends_with_0_or_1_as_its_run_says() {
    for code in [0, 1] {
        let body = format!(r#"(func (export "run") (result i32) (i32.const {code}))"#);
        assert_eq!(guest(&command(&body)).run().outcome.code, code);
    }
}

#[test]
fn a_trap_ends_with_134_and_names_the_functions_on_stderr_and_in_the_reason() {
    let functions = "(func $inner unreachable) (func $outer (result i32) (call $inner) (i32.const 0))";
    let guests = [
        command(&format!(r#"{functions} (func (export "run") (result i32) (call $outer))"#)),
        module(&format!(r#"{functions} (func (export "_start") (drop (call $outer)))"#)),
    ];
    for wat in guests {
        let ended = guest(&wat).run();
        let reason = ended.outcome.reason.unwrap();
        assert_eq!((ended.outcome.code, ended.outcome.oom), (134, false));
        assert!(
            reason.starts_with("wasm trap: wasm `unreachable` instruction executed\nWasm backtrace"),
            "{reason}"
        );
        let (inner, outer) = (reason.find("!inner").unwrap(), reason.find("!outer").unwrap());
        assert!(inner < outer, "innermost first: {reason}");
        assert_eq!(ended.stderr, format!("{reason}\n"));
        assert_eq!(ended.stdout, "");
    }
}

#[test]
fn endless_recursion_is_a_trap() {
    let ended = guest(&module(r#"(func $deeper (export "_start") (call $deeper) (call $deeper))"#)).run();
    assert_eq!(ended.outcome.code, 134);
    assert!(ended.stderr.starts_with("wasm trap: call stack exhausted\n"), "{}", ended.stderr);
}

#[test]
fn growth_beyond_the_memory_limit_ends_the_guest_as_out_of_memory() {
    let grow = r#"(memory 1) (func $hog (export "run") (result i32) (memory.grow (i32.const 100)))"#;
    let ended = guest(&command(grow)).granted(limit(4 << 20)).run();
    assert_eq!((ended.outcome.code, ended.outcome.oom), (137, true));
    let reason = ended.outcome.reason.unwrap();
    let told = "out of memory: memory limit of 4 MiB reached: 0.1 MiB of linear memory, 0 MiB of tables, 0 MiB in the host \
                for handles and buffers, 1 MiB kept for the host itself; the guest asked for 6.2 MiB more\n";
    assert!(reason.starts_with(told), "{reason}");
    assert!(reason.contains("!hog"), "{reason}");
}

#[test]
fn memory_that_is_too_large_from_the_start_is_out_of_memory_too() {
    let fields = ["(memory 100)", "(memory 30) (memory 30)", "(table 500000 funcref)"];
    for field in fields {
        let ended =
            guest(&format!(r#"(module {field} (func (export "_start")))"#)).granted(limit(4 << 20)).run();
        assert_eq!((ended.outcome.code, ended.outcome.oom), (137, true), "{field}: {ended:?}");
    }
}

#[test]
fn growth_beyond_what_the_memory_declares_just_fails() {
    let body = r#"(memory 1 2) (func (export "run") (result i32)
        (i32.ne (memory.grow (i32.const 5)) (i32.const -1)))"#;
    assert_eq!(guest(&command(body)).granted(limit(4 << 20)).run().outcome.code, 0);
}

#[test]
fn a_guest_within_its_limit_does_not_notice_it() {
    let body = r#"(memory 1) (func (export "run") (result i32)
        (i32.eq (memory.grow (i32.const 15)) (i32.const -1)))"#;
    assert_eq!(guest(&command(body)).granted(limit(4 << 20)).run().outcome.code, 0);
}

#[test]
fn a_guest_that_asks_instead_of_waiting_still_sees_time_pass() {
    let spin = r#"(component
        (import "wasi:io/poll@0.2.0" (instance $poll
            (export "pollable" (type $pollable (sub resource)))
            (export "[method]pollable.ready" (func (param "self" (borrow $pollable)) (result bool)))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $outer))
            (export "pollable" (type $pollable (eq $outer)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
        (core func $ready (canon lower (func $poll "[method]pollable.ready")))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core module $guest
            (import "host" "ready" (func $ready (param i32) (result i32)))
            (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
            (func (export "run") (result i32) (local $timer i32)
                (local.set $timer (call $subscribe (i64.const 5000000)))
                (loop $again (br_if $again (i32.eqz (call $ready (local.get $timer)))))
                (i32.const 0)))
        (core instance $guest (instantiate $guest
            (with "host" (instance (export "ready" (func $ready)) (export "subscribe" (func $subscribe))))))
        (func $run (result (result)) (canon lift (core func $guest "run")))
        (instance $command (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $command)))"#;
    assert_eq!(guest(spin).run().outcome.code, 0);
}

fn limit(bytes: u64) -> serde_json::Value {
    json!({ "linux": { "resources": { "memory": { "limit": bytes } } } })
}
