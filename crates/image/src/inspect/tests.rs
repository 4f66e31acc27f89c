use proptest::prelude::*;

use super::*;

const COMMAND: &str = r#"(component
    (import "wasi:cli/environment@0.2.3" (instance))
    (core module $m (func (export "run")) (@producers (language "Rust" "2024") (processed-by "rustc" "1.95.0")))
    (core instance $i (instantiate $m))
    (func $run (canon lift (core func $i "run")))
    (instance $run-interface (export "run" (func $run)))
    (export "wasi:cli/run@0.2.3" (instance $run-interface)))"#;

const MODULE: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") i32.const 0 call 0))"#;

fn look(text: &str) -> Inspection {
    inspect(&wat::parse_str(text).unwrap()).unwrap()
}

fn exporting(name: &str) -> World {
    look(&format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#)).world
}

#[test]
fn a_command_component_tells_what_it_is() {
    let seen = look(COMMAND);
    assert_eq!(seen.kind, Kind::Component);
    assert_eq!(seen.world, World::Command("wasi:cli/run@0.2.3".into()));
    assert_eq!(seen.imports, [Item { name: "wasi:cli/environment@0.2.3".into(), kind: "instance" }]);
    assert_eq!(seen.producers.languages.iter().collect::<Vec<_>>(), ["Rust 2024"]);
    assert_eq!(seen.producers.processed_by.iter().collect::<Vec<_>>(), ["rustc 1.95.0"]);
}

#[test]
fn a_module_tells_what_it_is() {
    let seen = look(MODULE);
    assert_eq!((seen.kind, seen.world), (Kind::Module, World::Command("_start".into())));
    assert_eq!(seen.imports[0].name, "wasi_snapshot_preview1::proc_exit");
    assert_eq!(seen.exports[0], Item { name: "memory".into(), kind: "memory" });
}

#[test]
fn worlds_are_told_by_their_exports_and_semver_tracks() {
    assert_eq!(exporting("wasi:cli/run@0.3.1"), World::Command("wasi:cli/run@0.3.1".into()));
    assert_eq!(
        exporting("wasi:http/incoming-handler@0.2.12"),
        World::HttpServer("wasi:http/incoming-handler@0.2.12".into())
    );
    assert_eq!(exporting("wasi:http/handler@0.3.0"), World::HttpServer("wasi:http/handler@0.3.0".into()));
    for unknown in [
        "wasi:cli/run@0.3.0-rc-2025-09-16",
        "wasi:cli/run@0.4.0",
        "wasi:cli/run",
        "wasi:http/handler@0.2.0",
        "a:b/wasi",
    ] {
        assert_eq!(exporting(unknown), World::None, "{unknown}");
    }
}

#[test]
fn functions_can_be_run_by_name() {
    let module = look(
        r#"(module (func (export "_initialize")) (func (export "cabi_realloc")) (func (export "add")))"#,
    );
    assert_eq!(module.world, World::Functions(vec!["add".into()]));
    assert_eq!(look("(module)").world, World::None);
}

#[test]
fn only_the_outermost_imports_and_exports_count() {
    let seen = look(
        r#"(component (core module (import "a" "b" (func)) (export "c" (func 0))) (component (component)))"#,
    );
    assert!(seen.imports.is_empty() && seen.exports.is_empty());
}

#[test]
fn the_table_shows_each_fact_and_no_control_characters() {
    let table = look(COMMAND).to_string();
    for fact in [
        "WebAssembly component",
        "command (wasi:cli/run@0.2.3)",
        "Rust 2024",
        "rustc 1.95.0",
        "wasi:cli/environment@0.2.3",
        "sha256:",
    ] {
        assert!(table.contains(fact), "no {fact} in:\n{table}");
    }
    let hostile = look(r#"(module (func (export "\1b[2Jred")))"#).to_string();
    assert!(!hostile.contains('\u{1b}') && hostile.contains("\\u{1b}[2Jred"), "{hostile}");
}

#[test]
fn the_json_form_has_every_field() {
    let json = serde_json::to_value(look(COMMAND)).unwrap();
    assert_eq!(json["kind"], "component");
    assert_eq!(json["world"], serde_json::json!({"kind": "command", "by": "wasi:cli/run@0.2.3"}));
    assert_eq!(json["producers"]["languages"][0], "Rust 2024");
}

#[test]
fn what_is_no_wasm_is_refused_with_what_it_is() {
    let refusal = |bytes: &[u8]| inspect(bytes).unwrap_err().to_string();
    assert!(refusal(b"").contains("it is empty"));
    assert!(refusal(b"\x7fELF\x02\x01\x01\xc8").contains("never run out of an image"));
    assert!(refusal(b"(module)").contains("WebAssembly text"));
    assert!(refusal(b"\0asm\x09\0\x01\0").contains("no valid Wasm"));
}

#[test]
fn every_truncation_is_refused_or_read() {
    for text in [COMMAND, MODULE] {
        let whole = wat::parse_str(text).unwrap();
        for length in 0..whole.len() {
            drop(inspect(&whole[..length]));
        }
        assert!(inspect(&whole[..whole.len() - 1]).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_after_a_header_are_read_or_refused(bytes: Vec<u8>, component: bool) {
        let header: &[u8] = if component { b"\0asm\x0d\0\x01\0" } else { b"\0asm\x01\0\0\0" };
        drop(inspect(&[header, &bytes].concat()).map(|seen| seen.to_string()));
    }

    #[test]
    fn a_damaged_component_never_panics(hits in prop::collection::vec((8usize..400, any::<u8>()), 1..4), component: bool) {
        let mut bytes = wat::parse_str(if component { COMMAND } else { MODULE }).unwrap();
        for (at, byte) in hits {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        drop(inspect(&bytes).map(|seen| seen.to_string()));
    }
}
