use super::*;

const COUNTER: &str = r#"(component
    (type $r (resource (rep i32)))
    (core func $new (canon resource.new $r))
    (core module $m
        (import "" "new" (func $new (param i32) (result i32)))
        (func (export "make") (result i32) (call $new (i32.const 7)))
        (func (export "get") (param i32) (result i32) local.get 0))
    (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
    (func $make (result (own $r)) (canon lift (core func $i "make")))
    (func $get (param "self" (borrow $r)) (result u32) (canon lift (core func $i "get")))
    (component $wrap
        (import "r" (type $r (sub resource)))
        (import "make" (func $make (result (own $r))))
        (import "get" (func $get (param "self" (borrow $r)) (result u32)))
        (export $counter "counter" (type $r))
        (export "[static]counter.make" (func $make) (func (result (own $counter))))
        (export "[method]counter.get" (func $get) (func (param "self" (borrow $counter)) (result u32))))
    (instance $e (instantiate $wrap (with "r" (type $r)) (with "make" (func $make)) (with "get" (func $get))))
    (export "a:count/types@0.1.0" (instance $e)))"#;

/// Imports the resource of [`COUNTER`], and `more`, which may name it `$r`.
fn counting(more: &str, exports: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
        (import "a:count/types@0.1.0" (instance $t
            (export "counter" (type $c (sub resource)))
            (export "[static]counter.make" (func (result (own $c))))
            (export "[method]counter.get" (func (param "self" (borrow $c)) (result u32)))))
        (alias export $t "counter" (type $r))
        {more} {exports})"#
    ))
}

/// One interface, of which `members` is the type.
fn importing(members: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component (import "a:b/c@0.1.0" (instance {members}))
            (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#
    ))
}

/// One function of core type `[] -> [i32]`, lifted as `ty`.
fn exporting(ty: &str) -> Vec<u8> {
    wat(&format!(
        r#"(component
            (core module $m (func (export "f") (result i32) i32.const 0))
            (core instance $c (instantiate $m))
            (func $f {ty} (canon lift (core func $c "f")))
            (instance $e (export "f" (func $f)))
            (export "a:b/c@0.1.0" (instance $e)))"#
    ))
}

#[test]
fn a_resource_crosses_two_components_and_stays_the_same() {
    const USE: &str = r#"(import "a:use/api@0.1.0" (instance
        (export "counter" (type $same (eq $r)))
        (export "take" (func (param "counter" (own $same))))))"#;
    const TAKE: &str = r#"
        (core func $drop (canon resource.drop $r))
        (core module $m (import "" "drop" (func $drop (param i32))) (func (export "take") (param i32) (call $drop (local.get 0))))
        (core instance $i (instantiate $m (with "" (instance (export "drop" (func $drop))))))
        (func $take (param "counter" (own $r)) (canon lift (core func $i "take")))
        (component $wrap
            (import "r" (type $r (sub resource)))
            (import "take" (func $take (param "counter" (own $r))))
            (export $counter "counter" (type $r))
            (export "take" (func $take) (func (param "counter" (own $counter)))))
        (instance $e (instantiate $wrap (with "r" (type $r)) (with "take" (func $take))))
        (export "a:use/api@0.1.0" (instance $e))"#;
    let run = r#"(instance $run) (export "wasi:cli/run@0.2.0" (instance $run))"#;
    let parts = [("app", counting(USE, run)), ("counter", wat(COUNTER)), ("user", counting("", TAKE))];
    let composed = composed(&parts);
    assert_eq!(links(&composed.plan), ["app<-counter", "app<-user", "user<-counter"]);
    assert_eq!(instances(&composed.bytes), 3);

    // Two counters are two types, though they look the same.
    let parts = [parts[0].clone(), ("a", wat(COUNTER)), ("b", wat(COUNTER)), parts[2].clone()];
    let mut wiring = wiring(&parts);
    wiring.choices = vec![choice("app", "a:count/types", "a"), choice("user", "a:count/types", "b")];
    let sentence = compose(&components(&parts), &wiring, Target::Any).unwrap_err().to_string();
    assert!(sentence.contains("the composition is not valid"), "{sentence}");
}

#[test]
fn an_async_function_links_to_an_async_function_only() {
    let app = importing(r#"(export "f" (func async (result u32)))"#);
    assert_eq!(
        instances(&composed(&[("app", app.clone()), ("dep", exporting("async (result u32)"))]).bytes),
        2
    );
    let sentence = refused(&[("app", app), ("dep", exporting("(result u32)"))]);
    assert!(sentence.contains("`f: async func() -> u32`, there is `f: func() -> u32`"), "{sentence}");
}

#[test]
fn async_calls_streams_and_futures_cross_components() {
    // Lifted without blocking, and called so.
    let dep = wat(r#"(component
        (core module $m
            (func (export "f") (result i32) i32.const 0)
            (func (export "resumed") (param i32 i32 i32) (result i32) i32.const 0))
        (core instance $c (instantiate $m))
        (func $f async (result u32) (canon lift (core func $c "f") async (callback (core func $c "resumed"))))
        (instance $e (export "f" (func $f)))
        (export "a:b/c@0.1.0" (instance $e)))"#);
    let app = wat(r#"(component
        (import "a:b/c@0.1.0" (instance $t (export "f" (func async (result u32)))))
        (core module $m (memory (export "m") 1))
        (core instance $c (instantiate $m))
        (core func (canon lower (func $t "f") async (memory (core memory $c "m"))))
        (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#);
    assert_eq!(instances(&composed(&[("app", app), ("dep", dep)]).bytes), 2);
    for ty in ["(result (stream u8))", "(result (future string))", "async (result (stream))"] {
        let app = importing(&format!(r#"(export "f" (func {ty}))"#));
        assert_eq!(instances(&composed(&[("app", app), ("dep", exporting(ty))]).bytes), 2, "{ty}");
    }
    let sentence = refused(&[
        ("app", importing(r#"(export "f" (func (result (stream u8))))"#)),
        ("dep", exporting("(result (stream u16))")),
    ]);
    assert!(
        sentence.contains("`f: func() -> stream<u8>`, there is `f: func() -> stream<u16>`"),
        "{sentence}"
    );
}

#[test]
fn what_does_not_fit_is_shown_as_both_types() {
    let dep = || exporting("(result u32)");
    let app = |members: &str| importing(members);
    for (members, wanted, found) in [
        (r#"(export "f" (func (result s32)))"#, "f: func() -> s32", "f: func() -> u32"),
        (
            r#"(export "f" (func (param "x" string) (result u32)))"#,
            "f: func(x: string) -> u32",
            "f: func() -> u32",
        ),
        (r#"(export "g" (func))"#, "g: func()", "nothing called g"),
        (r#"(export "f" (func (result (list u8))))"#, "f: func() -> list<u8>", "f: func() -> u32"),
        (r#"(export "r" (type (sub resource)))"#, "resource r", "nothing called r"),
        (
            r#"(type $p (record (field "x" u32) (field "y" (option f32)))) (export "p" (type $q (eq $p)))
               (export "f" (func (result $q)))"#,
            "type p = record { x: u32, y: option<f32> }",
            "nothing called p",
        ),
    ] {
        let sentence = refused(&[("app", app(members)), ("dep", dep())]);
        assert!(sentence.contains(&format!("wanted is `{wanted}`, there is `{found}`")), "{sentence}");
    }
}

#[test]
fn interfaces_of_types_alone_need_no_provider() {
    let app = wat(r#"(component
            (import "a:b/types" (instance (type $p (record (field "x" u32))) (export "p" (type (eq $p)))))
            (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#);
    assert!(
        compose(
            &[Component { name: "app", bytes: &app }],
            &Wiring { root: "app".into(), ..Wiring::default() },
            Target::Any
        )
        .is_ok()
    );
    let resource = importing(r#"(export "r" (type (sub resource)))"#);
    assert!(refused(&[("app", resource)]).contains("nothing provides a:b/c@0.1.0"));
}

#[test]
fn what_a_node_provides_must_be_wanted_alike() {
    let app = importing(r#"(export "f" (func (result u32)))"#);
    let asks = |ty: &str, exports: &str| {
        wat(&format!(
            r#"(component (import "wasi:cli/stdout@0.2.0" (instance (export "g" (func (result {ty})))))
                (core module $m (func (export "f") (result i32) i32.const 0))
                (core instance $c (instantiate $m))
                (func $f (result u32) (canon lift (core func $c "f")))
                (instance $e (export "f" (func $f)))
                (import "a:b/d" (instance (export "f" (func (result u32)))))
                (export "{exports}" (instance $e)))"#
        ))
    };
    let leaf =
        wat(r#"(component (import "wasi:cli/stdout@0.2.0" (instance (export "g" (func (result string)))))
            (core module $m (func (export "f") (result i32) i32.const 0))
            (core instance $c (instantiate $m))
            (func $f (result u32) (canon lift (core func $c "f")))
            (instance $e (export "f" (func $f)))
            (export "a:b/d" (instance $e)))"#);
    let sentence = refused(&[("app", app), ("dep", asks("u32", "a:b/c@0.1.0")), ("leaf", leaf)]);
    assert!(
        sentence.contains("both import wasi:cli/stdout@0.2.0")
            && sentence.contains("«dep»")
            && sentence.contains("«leaf»"),
        "{sentence}"
    );
}
