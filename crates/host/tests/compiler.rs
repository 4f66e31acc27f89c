//! What the compiler takes and what it refuses, each with one sentence.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use host::compile::Kind;
use support::compiled;

const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// The sentence with which `input` is refused.
fn refused(input: &[u8]) -> String {
    let sentence = compiled(input, u64::MAX).0.unwrap_err().to_string();
    assert!(!sentence.contains('\n'), "one line: {sentence}");
    sentence
}

#[test]
fn components_and_modules_are_told_apart_in_both_forms() {
    for (input, kind) in [
        (MODULE, Kind::Module),
        (b"(module)", Kind::Module),
        (b"\0asm\x0d\0\x01\0", Kind::Component),
        (b"(component)", Kind::Component),
    ] {
        let report = compiled(input, u64::MAX).0.unwrap();
        assert_eq!((report.kind, report.input), (kind, input.len() as u64));
        assert!(report.output > 0);
    }
}

#[test]
fn nothing_is_refused_as_nothing() {
    assert_eq!(refused(b""), "it is empty; Wasm was expected");
}

#[test]
fn garbage_is_refused_with_its_first_bytes() {
    assert_eq!(
        refused(b"\x7fELF\x02\x01\x01\0\0"),
        r#"it is not Wasm: it begins with "\x7fELF", where Wasm begins with "\0asm""#
    );
}

#[test]
fn truncated_wasm_is_refused_with_the_offset() {
    let whole = wat::parse_str("(module (func (export \"a\") (result i32) (i32.const 1)))").unwrap();
    let truncated = refused(whole.get(..whole.len() - 3).unwrap());
    assert!(
        truncated.starts_with("its Wasm is invalid or uses what this host does not support: "),
        "{truncated}"
    );
    assert!(truncated.contains("(at offset 0x"), "{truncated}");
    assert_eq!(refused(b"\0asm\x01"), "its Wasm is of no version known here (bytes 4 to 7 are [01])");
}

#[test]
fn invalid_wasm_is_refused_with_the_offset() {
    let sentence = refused(&wat::parse_str("(module (func (result i32) (i64.const 1)))").unwrap());
    assert!(sentence.ends_with("at offset 26: type mismatch: expected i32, found i64"), "{sentence}");
}

#[test]
fn wrong_text_is_refused_with_line_and_column() {
    let sentence = refused(b"(module\n  (func (i32.cnst 1)))");
    assert!(sentence.starts_with("it is neither Wasm nor correct WAT: "), "{sentence}");
    assert!(sentence.ends_with("(line 2, column 10)"), "{sentence}");
    assert!(refused(b"hello, world").contains("neither Wasm nor correct WAT"));
}

#[test]
fn compiled_code_is_refused() {
    let (report, code) = compiled(MODULE, u64::MAX);
    report.unwrap();
    let code = std::fs::read(code).unwrap();
    assert_eq!(refused(&code), "it is code that was compiled already; bring the Wasm that it was made from");
}

#[test]
fn what_is_over_the_limit_is_refused_unread() {
    assert_eq!(compiled(MODULE, 8).0.unwrap().input, 8);
    assert_eq!(
        compiled(MODULE, 7).0.unwrap_err().to_string(),
        "it has more than 7 bytes, which is the limit for Wasm here"
    );
}
