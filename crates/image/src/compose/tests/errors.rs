use super::*;

const RUN: &str = "wasi:cli/run@0.2.0";

#[test]
fn a_circle_is_refused_by_its_names() {
    let parts = [
        ("app", part(&["a:x/x"], &[RUN])),
        ("x", part(&["a:y/y"], &["a:x/x"])),
        ("y", part(&["a:x/x"], &["a:y/y"])),
    ];
    let sentence = refused(&parts);
    assert!(sentence.ends_with("in a circle: «x» -> «y» -> «x»"), "{sentence}");
}

#[test]
fn two_providers_are_refused_with_the_way_to_choose() {
    let parts = [
        ("app", part(&["a:b/c@0.2.0"], &[RUN])),
        ("one", part(&[], &["a:b/c@0.2.0"])),
        ("two", part(&[], &["a:b/c@0.2.1"])),
    ];
    let sentence = refused(&parts);
    assert!(
        sentence.contains("«one» as well as «two» export it: choose one, by a link of «app»"),
        "{sentence}"
    );
}

#[test]
fn an_import_that_nobody_provides_is_refused_with_who_wants_it() {
    let parts = [("app", part(&["a:b/c", "wasi:cli/exit@0.4.0"], &[RUN])), ("dep", part(&[], &["a:d/e"]))];
    let sentence = refused(&parts);
    assert!(sentence.contains("a:b/c (imported by «app»), wasi:cli/exit@0.4.0"), "{sentence}");
    assert!(sentence.contains("unused is «dep»; a node provides wasi:cli"), "{sentence}");
}

#[test]
fn versions_that_do_not_fit_are_named_both() {
    let parts = [("app", part(&["a:b/c@0.3.0"], &[RUN])), ("dep", part(&[], &["a:b/c@0.2.1"]))];
    let sentence = refused(&parts);
    assert!(
        sentence
            .contains("imports a:b/c@0.3.0 and «dep» exports a:b/c@0.2.1: these versions are not compatible"),
        "{sentence}"
    );
    for (wanted, there) in [("0.0.1", "0.0.2"), ("1.0.0", "2.0.0"), ("1.0.0-rc.1", "1.0.0")] {
        let parts = [
            ("app", part(&[&format!("a:b/c@{wanted}")], &[RUN])),
            ("dep", part(&[], &[&format!("a:b/c@{there}")])),
        ];
        assert!(refused(&parts).contains("not compatible"), "{wanted} {there}");
    }
}

#[test]
fn what_is_no_component_is_refused_with_the_cure() {
    let module = wat("(module)");
    let refused = |bytes: Vec<u8>| refused(&[("app", part(&["a:b/c"], &[RUN])), ("dep", bytes)]);
    assert!(
        refused(module)
            .contains("«dep» is a core module and must be a component: build it for wasm32-wasip2")
    );
    assert!(refused(Vec::new()).contains("«dep» is empty"));
    assert!(refused(b"\x7fELF".to_vec()).contains("a native ELF file"));
    let broken = part(&[], &["a:b/c"]);
    assert!(refused(broken[..broken.len() - 3].to_vec()).contains("«dep» is no valid component"));
}

#[test]
fn a_component_over_the_limit_is_refused() {
    let huge = vec![0; usize::try_from(MAX_COMPONENT).unwrap() + 1];
    let sentence = refused(&[("app", huge)]);
    assert!(
        sentence.contains("«app» has 1073741825 bytes; the limit of a component is 1073741824"),
        "{sentence}"
    );
    let one = part(&[], &[RUN]);
    let many = vec![Component { name: "x", bytes: &one }; MAX_COMPONENTS + 1];
    let wiring = Wiring { root: "x".into(), ..Wiring::default() };
    assert!(matches!(compose(&many, &wiring, Target::Any), Err(ComposeError::TooMany { .. })));
    assert_eq!(compose(&many[..2], &wiring, Target::Any), Err(ComposeError::Twice("x".into())));
}

#[test]
fn what_nobody_uses_is_refused() {
    let sentence = refused(&[("app", part(&[], &[RUN])), ("dep", part(&[], &["a:d/e"]))]);
    assert!(sentence.contains("nothing uses «dep»: it exports a:d/e"), "{sentence}");
}

#[test]
fn choices_that_cannot_be_are_refused_with_what_can() {
    let parts = [("app", part(&["a:b/c@1.0.0"], &[RUN])), ("dep", part(&[], &["a:d/e"]))];
    let with = |choices: &[Choice]| {
        let wiring = Wiring { choices: choices.to_vec(), ..wiring(&parts) };
        compose(&components(&parts), &wiring, Target::Any).unwrap_err().to_string()
    };
    assert!(with(&[choice("app", "x:y/z", "dep")]).contains("«app» does not import x:y/z, only a:b/c@1.0.0"));
    assert!(with(&[choice("app", "a:b/c", "dep")]).contains("«dep» does not export a:b/c@1.0.0, only a:d/e"));
    assert!(with(&[choice("app", "a:b/c", "gone")]).contains("no component «gone», only app, dep"));
    let two = Choice { export: Some("a:d/e".into()), ..choice("app", "a:b/c", "dep") };
    assert!(with(&[two.clone(), two]).contains("is given by «dep» and by «dep»: keep one"));
}

#[test]
fn a_world_is_refused_with_what_is_exported() {
    let parts = [("app", part(&[], &["wasi:http/incoming-handler@0.2.0"]))];
    let check = |target| compose(&components(&parts), &wiring(&parts), target);
    assert!(check(Target::Server).is_ok());
    let sentence = check(Target::Command).unwrap_err().to_string();
    assert!(
        sentence.contains(
            "exports wasi:http/incoming-handler@0.2.0, and the world wasi:cli/command wants wasi:cli/run"
        ),
        "{sentence}"
    );
}
