//! Clocks, randomness, fuel and the strict profile, as granted and as denied.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use grants::Profile;
use support::{Ended, async_command, command, compiled_for, guest, module};

const STRICT: (&str, &str) = ("profile", "strict");

/// A command that calls one function of `interface` which takes `params` and gives `result`.
fn calls(interface: &str, function: &str, params: &str, arguments: &str, result: &str) -> String {
    let (drop, core) = if result.is_empty() { ("", "") } else { ("drop", "(result i64)") };
    let core_params = if params.is_empty() { "" } else { "(param i64)" };
    format!(
        r#"(component
            (import "{interface}" (instance $host (export "{function}" (func {params} {result}))))
            (core func $call (canon lower (func $host "{function}")))
            (core module $guest
                (import "host" "call" (func $call {core_params} {core}))
                (func (export "run") (result i32) {arguments} call $call {drop} i32.const 0))
            (core instance $guest (instantiate $guest (with "host" (instance (export "call" (func $call))))))
            (func $run (result (result)) (canon lift (core func $guest "run")))
            (instance $command (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $command)))"#
    )
}

/// A preview 1 command that makes one call and exits with its `errno`.
fn calls_p1(function: &str, params: &str, arguments: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "{function}" (func $call (param {params}) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1)
            (func (export "_start") {arguments} (call $exit (call $call))))"#
    )
    .replace("(call $exit (call $call))", "call $call call $exit")
}

fn ended(wat: &str, annotations: &[(&str, &str)]) -> Ended {
    guest(wat).annotated(annotations).run()
}

/// The first line of why a guest with these annotations trapped.
fn trapped(wat: &str, annotations: &[(&str, &str)]) -> String {
    let ended = ended(wat, annotations);
    assert_eq!(ended.outcome.code, 134, "{ended:?}");
    ended.outcome.reason.unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn a_denied_clock_ends_the_guest_with_the_grant_that_allows_it() {
    let now = calls("wasi:clocks/monotonic-clock@0.2.0", "now", "", "", "(result u64)");
    let strict = "`wasi:clocks/monotonic-clock#now` is not allowed in the strict profile: `run.wasm/clock: frozen` allows it";
    assert_eq!(trapped(&now, &[STRICT]), strict);
    let standard = "`wasi:clocks/monotonic-clock#now` is not allowed by `run.wasm/clock: deny`: `frozen` or `real` allows it";
    assert_eq!(trapped(&now, &[("clock", "deny")]), standard);
    for granted in [&[][..], &[("clock", "frozen")], &[STRICT, ("clock", "frozen")]] {
        assert_eq!(ended(&now, granted).outcome.code, 0, "{granted:?}");
    }
    let newer = calls("wasi:clocks/monotonic-clock@0.3.0", "now", "", "", "(result u64)");
    assert_eq!(trapped(&newer, &[("clock", "deny")]), standard);
    assert_eq!(ended(&newer, &[("clock", "frozen")]).outcome.code, 0);
}

#[test]
fn denied_randomness_ends_the_guest_with_the_grant_that_allows_it() {
    for release in ["0.2.0", "0.3.0"] {
        let interface = format!("wasi:random/random@{release}");
        let random = calls(&interface, "get-random-u64", "", "", "(result u64)");
        assert_eq!(
            trapped(&random, &[("random", "deny")]),
            "`wasi:random/random#get-random-u64` is not allowed by `run.wasm/random: deny`: `seed:<number>` or `real` \
             allows it"
        );
        assert_eq!(ended(&random, &[("random", "seed:1")]).outcome.code, 0);
    }
    let random = calls("wasi:random/insecure@0.2.0", "get-insecure-random-u64", "", "", "(result u64)");
    assert_eq!(
        trapped(&random, &[STRICT]),
        "`wasi:random/insecure#get-insecure-random-u64` is not allowed in the strict profile: `run.wasm/random: \
         seed:<number>` allows it"
    );
    assert_eq!(ended(&random, &[STRICT, ("random", "seed:1")]).outcome.code, 0);
}

#[test]
fn preview_1_has_the_same_clocks_and_randomness() {
    let time = calls_p1("clock_time_get", "i32 i64 i32", "i32.const 0 i64.const 0 i32.const 8");
    let resolution = calls_p1("clock_res_get", "i32 i32", "i32.const 1 i32.const 8");
    let random = calls_p1("random_get", "i32 i32", "i32.const 0 i32.const 16");
    for (wat, function) in [(&time, "clock_time_get"), (&resolution, "clock_res_get")] {
        assert_eq!(
            trapped(wat, &[STRICT]),
            format!(
                "`wasi_snapshot_preview1#{function}` is not allowed in the strict profile: `run.wasm/clock: frozen` \
                 allows it"
            )
        );
        assert_eq!(ended(wat, &[STRICT, ("clock", "frozen")]).outcome.code, 0);
    }
    assert_eq!(
        trapped(&random, &[STRICT]),
        "`wasi_snapshot_preview1#random_get` is not allowed in the strict profile: `run.wasm/random: seed:<number>` \
         allows it"
    );
    assert_eq!(ended(&random, &[STRICT, ("random", "seed:3")]).outcome.code, 0);
}

/// Polls a clock for an hour and stdin, and exits with the number of events.
const POLL: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (i32.store8 (i32.const 56) (i32.const 1))
        (if (call $poll (i32.const 0) (i32.const 128) (i32.const 2) (i32.const 256)) (then unreachable))
        (call $exit (i32.load (i32.const 256)))))"#;

#[test]
fn a_wait_for_a_clock_that_stands_still_ends_at_once() {
    let poll = |annotations| guest(POLL).stdin(support::holding(b"input")).annotated(annotations).run();
    assert_eq!(poll(&[STRICT, ("clock", "frozen")]).outcome.code, 2, "whatever is waited for is ready");
    assert!(poll(&[("clock", "frozen")]).outcome.code > 0);
    assert_eq!(
        poll(&[STRICT]).outcome.reason.unwrap().lines().next().unwrap(),
        "`wasi_snapshot_preview1#poll_oneoff` is not allowed in the strict profile: `run.wasm/clock: frozen` allows it"
    );
    let wait = calls(
        "wasi:clocks/monotonic-clock@0.3.0",
        "wait-for",
        r#"async (param "how-long" u64)"#,
        "i64.const 3600000000000",
        "",
    );
    let wait = wait.replace(r#"(func $run (result (result))"#, r#"(func $run async (result (result))"#);
    assert_eq!(ended(&wait, &[("clock", "frozen")]).outcome.code, 0);
    assert_eq!(
        trapped(&wait, &[("clock", "deny")]),
        "`wasi:clocks/monotonic-clock#wait-for` is not allowed by `run.wasm/clock: deny`: `frozen` or `real` allows it"
    );
}

#[test]
fn the_strict_profile_has_no_network() {
    let socket = r#"(component
        (import "wasi:sockets/network@0.2.0" (instance $network
            (type $family (enum "ipv4" "ipv6")) (export "ip-address-family" (type (eq $family)))
            (type $code (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout"
                "concurrency-conflict" "not-in-progress" "would-block" "invalid-state" "new-socket-limit"
                "address-not-bindable" "address-in-use" "remote-unreachable" "connection-refused" "connection-reset"
                "connection-aborted" "datagram-too-large" "name-unresolvable" "temporary-resolver-failure"
                "permanent-resolver-failure"))
            (export "error-code" (type (eq $code)))))
        (alias export $network "ip-address-family" (type $family))
        (alias export $network "error-code" (type $code))
        (import "wasi:sockets/tcp@0.2.0" (instance $tcp (export "tcp-socket" (type (sub resource)))))
        (alias export $tcp "tcp-socket" (type $socket))
        (import "wasi:sockets/tcp-create-socket@0.2.0" (instance $create
            (alias outer 1 $family (type $f)) (export "ip-address-family" (type (eq $f)))
            (alias outer 1 $code (type $c)) (export "error-code" (type (eq $c)))
            (alias outer 1 $socket (type $s)) (export "tcp-socket" (type (eq $s)))
            (export "create-tcp-socket" (func (param "address-family" 1) (result (result (own 5) (error 3)))))))
        (core module $memory (memory (export "memory") 1))
        (core instance $memory (instantiate $memory))
        (alias core export $memory "memory" (core memory $bytes))
        (core func $call (canon lower (func $create "create-tcp-socket") (memory $bytes)))
        (core module $guest
            (import "host" "call" (func $call (param i32 i32)))
            (func (export "run") (result i32) (call $call (i32.const 0) (i32.const 16)) i32.const 0))
        (core instance $guest (instantiate $guest (with "host" (instance (export "call" (func $call))))))
        (func $run (result (result)) (canon lift (core func $guest "run")))
        (instance $command (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $command)))"#;
    assert_eq!(ended(socket, &[]).outcome.code, 0, "an error for the guest");
    assert_eq!(
        trapped(socket, &[STRICT]),
        "`wasi:sockets/tcp-create-socket#create-tcp-socket` is not allowed in the strict profile: `run.wasm/profile: \
         standard` with an egress or a port allows it"
    );
}

#[test]
fn an_endless_guest_runs_out_of_fuel_at_the_same_place() {
    let endless = module(
        r#"(func (export "_start")
              (loop $more (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1))) (br $more)))"#,
    );
    let policy = grants::Policy::parse("[limits]\nfuel = 1_000_000").unwrap();
    let run = || guest(&endless).policy(&policy).annotated(&[STRICT]).run().outcome;
    let first = run();
    assert_eq!(first.code, 134);
    assert!(first.reason.as_deref().unwrap().starts_with("out of fuel (1000000 units)\n"), "{first:?}");
    assert_eq!(run(), first);
}

/// Whether the canonical bits come out of an operation whose operand has others.
#[test]
fn a_nan_has_always_the_same_bits() {
    let nan = module(
        r#"(func (export "_start")
              (call $exit (i32.ne
                (i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (i32.const 0xffc12345)) (f32.const 1)))
                (i32.const 0x7fc00000))))"#,
    );
    assert_eq!(ended(&nan, &[STRICT]).outcome.code, 0);
}

#[test]
fn what_is_concurrent_is_refused_before_it_is_compiled() {
    let concurrent = async_command(r#"(func (export "run") (result i32) (i32.const 0))"#);
    let error = compiled_for(Profile::Strict, concurrent.as_bytes(), u64::MAX).0.unwrap_err();
    assert!(error.to_string().ends_with("build it so, or write run.wasm/profile: standard"), "{error}");
    let plain = command(r#"(func (export "run") (result i32) (i32.const 0))"#);
    assert!(compiled_for(Profile::Strict, plain.as_bytes(), u64::MAX).0.is_ok());
}

#[test]
fn input_comes_in_the_same_pieces_however_it_was_sent() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let sender = std::thread::spawn(move || {
        for piece in [&b"one "[..], b"two ", b"three"] {
            std::io::Write::write_all(&mut writer, piece).unwrap();
            // The guest has time to read each piece, and must not.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    // The length of its first read.
    let first = module(
        r#"(func (export "_start")
              (i32.store (i32.const 0) (i32.const 64))
              (i32.store (i32.const 4) (i32.const 1000))
              (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
              (call $exit (i32.load (i32.const 8))))"#,
    );
    assert_eq!(guest(&first).stdin(reader).annotated(&[STRICT]).run().outcome.code, 13);
    sender.join().unwrap();
}
