//! Small components that can be linked.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use image::compose::{Component, Plan};
use image::{Digest, inspect};

/// Owns a resource.
const COUNTER: &str = r#"(component
    (type $r (resource (rep i32)))
    (core func $new (canon resource.new $r))
    (core module $m
        (import "" "new" (func $new (param i32) (result i32)))
        (func (export "make") (result i32) (call $new (i32.const 7))))
    (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
    (func $make (result (own $r)) (canon lift (core func $i "make")))
    (component $wrap
        (import "r" (type $r (sub resource)))
        (import "make" (func $make (result (own $r))))
        (export $counter "counter" (type $r))
        (export "make" (func $make) (func (result (own $counter)))))
    (instance $e (instantiate $wrap (with "r" (type $r)) (with "make" (func $make))))
    (export "a:count/types@0.1.0" (instance $e)))"#;

/// Takes the resource of another.
const TAKER: &str = r#"(component
    (import "a:count/types@0.1.0" (instance $t
        (export "counter" (type $c (sub resource)))
        (export "make" (func (result (own $c))))))
    (alias export $t "counter" (type $r))
    (core func $drop (canon resource.drop $r))
    (core module $m
        (import "" "drop" (func $drop (param i32)))
        (func (export "take") (param i32) (call $drop (local.get 0))))
    (core instance $i (instantiate $m (with "" (instance (export "drop" (func $drop))))))
    (func $take (param "counter" (own $r)) (canon lift (core func $i "take")))
    (component $wrap
        (import "r" (type $r (sub resource)))
        (import "take" (func $take (param "counter" (own $r))))
        (export $counter "counter" (type $r))
        (export "take" (func $take) (func (param "counter" (own $counter)))))
    (instance $e (instantiate $wrap (with "r" (type $r)) (with "take" (func $take))))
    (export "a:use/api@0.1.0" (instance $e)))"#;

/// What plans link, by name.
static PARTS: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    vec![
        ("app", part(&["a:left/api", "a:right/api"], &["wasi:cli/run@0.2.0"])),
        ("left", part(&["a:base/api@0.1.0"], &["a:left/api"])),
        ("right", part(&["a:base/api@0.1.1", "wasi:cli/stdout@0.2.0"], &["a:right/api"])),
        ("base", part(&["wasi:cli/stdout@0.2.6"], &["a:base/api@0.1.2", "a:base/api@0.2.0"])),
        ("between", part(&["a:left/api"], &["a:left/api"])),
        ("counter", wat::parse_str(COUNTER).unwrap()),
        ("taker", wat::parse_str(TAKER).unwrap()),
    ]
});

/// A component whose interfaces all have one function, `f: func(x: u32) -> u32`.
fn part(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let import = |name: &&str| {
        format!(r#"(import "{name}" (instance (export "f" (func (param "x" u32) (result u32)))))"#)
    };
    let export = |name: &&str| format!(r#"(export "{name}" (instance $e))"#);
    wat::parse_str(format!(
        r#"(component {imports}
            (core module $m (func (export "f") (param i32) (result i32) local.get 0))
            (core instance $c (instantiate $m))
            (func $f (param "x" u32) (result u32) (canon lift (core func $c "f")))
            (instance $e (export "f" (func $f)))
            {exports})"#,
        imports = imports.iter().map(import).collect::<String>(),
        exports = exports.iter().map(export).collect::<String>(),
    ))
    .unwrap()
}

/// All of them.
pub fn components() -> Vec<Component<'static>> {
    PARTS.iter().map(|(name, bytes)| Component { name, bytes }).collect()
}

/// The text with the digest of a component for each `@NAME`, which no mutation would hit upon.
pub fn with_digests(text: &str) -> String {
    PARTS.iter().fold(text.to_owned(), |text, (name, bytes)| {
        text.replace(&format!("\"@{name}\""), &format!("\"{}\"", Digest::of(bytes)))
    })
}

/// A composition is valid, is the same a second time, exports what its root does, and imports nothing that no part of it
/// does.
pub fn is_what_was_planned(plan: &Plan, bytes: &[u8]) {
    assert_eq!(plan.compose(&components()).as_deref(), Ok(bytes));
    let whole = inspect(bytes).unwrap();
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    for (name, part) in PARTS.iter().filter(|(name, _)| plan.components.contains_key(*name)) {
        let part = inspect(part).unwrap();
        imports.extend(part.imports.into_iter().map(|item| item.name));
        if *name == plan.root {
            exports = part.exports.into_iter().map(|item| item.name).collect();
        }
    }
    let exported: BTreeSet<String> = whole.exports.into_iter().map(|item| item.name).collect();
    assert_eq!(exported, exports);
    for import in whole.imports {
        assert!(imports.contains(&import.name), "{}", import.name);
    }
}
