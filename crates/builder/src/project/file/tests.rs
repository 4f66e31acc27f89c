use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Project> {
    Project::parse(Path::new("run.toml"), text)
}

fn refused(text: &str) -> String {
    let error = parse(text).unwrap_err();
    let sentence = format!("{error:#}");
    assert!(sentence.starts_with("run.toml:") && sentence.lines().count() == 1, "{sentence}");
    sentence
}

/// A file that is right up to here.
fn with(more: &str) -> String {
    format!("name = \"x\"\nversion = \"1.0.0\"\n{more}")
}

#[test]
fn every_example_of_the_docs_is_right() {
    let page = include_str!("../../../../../docs/run-toml.md");
    let examples: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [small, whole] = examples.as_slice() else { panic!("{} examples", examples.len()) };
    assert_eq!(small.lines().count(), 4);
    let small = parse(small).unwrap();
    assert_eq!((small.root(), small.tag().as_str()), ("hello", "localhost/hello:1.0.0"));
    let whole = parse(whole).unwrap();
    assert_eq!(whole.world, World::Server);
    assert_eq!(whole.components["render"].from, Origin::Path("render/render.wasm".into()));
    let wanted = VersionReq::parse("^1.2").unwrap();
    assert_eq!(
        whole.components["math"].from,
        Origin::Registry { repository: "registry.example/ns/math".into(), wanted }
    );
    assert_eq!(whole.components["router"].tools, ["wasm-tools"]);
    let links = &whole.graph.links["router"];
    assert_eq!(links["shop:auth/check"], Choice { from: "auth".into(), export: None });
    assert_eq!(links["shop:math/sum@0.1.0"].export.as_deref(), Some("shop:numbers/sum@0.1.3"));
    assert_eq!(whole.run.args, ["--greeting", "hello"]);
    assert_eq!(whole.tag(), "registry.example/ns/shop:1.2.0");
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest() {
    let sentence = refused(&with("componets = {}\n"));
    assert_eq!(sentence, "run.toml:3: there is no key «componets»: did you mean «components»?");
    let sentence = refused(&with("[components.a]\npath = \"a.wasm\"\nlanguag = \"rust\"\n"));
    assert_eq!(sentence, "run.toml:5: there is no key «languag»: did you mean «language»?");
    let sentence = refused(&with("[components]\na = \"a.wasm\"\n[graph]\npublish = true\n"));
    assert_eq!(sentence, "run.toml:6: there is no key «publish», only root, plug, links");
    let sentence =
        refused(&with("[components]\na = \"a.wasm\"\n[graph.links.a]\n\"i:j/k\" = { fro = \"a\" }\n"));
    assert!(sentence.starts_with("run.toml:6: there is no key «fro»: did you mean «from»?"), "{sentence}");
}

#[test]
fn what_is_wrong_is_refused_with_its_line_and_the_cure() {
    for (text, start, word) in [
        ("name = \"x\"\n".to_owned(), "run.toml:", "version"),
        ("name = \"x\"\nversion = \"1\"\n".into(), "run.toml:2:", "version"),
        (
            "name = \"X y\"\nversion = \"1.0.0\"\n[components]\na = \"a.wasm\"\n".into(),
            "run.toml:1:",
            "lower-case",
        ),
        (
            "name = \"a-\"\nversion = \"1.0.0\"\n[components]\na = \"a.wasm\"\n".into(),
            "run.toml:1:",
            "lower-case",
        ),
        (with("[components]\na = \"a.wasm\"\n[output]\ntag = \"x:1\"\n"), "run.toml:", "output.tag"),
        (with("[components]\na = \"a.wasm\"\n[output]\ntag = \"r.example/x\"\n"), "run.toml:", "a full name"),
        (with("world = \"desktop\"\n"), "run.toml:3:", "command"),
        (with(""), "run.toml:", "no component"),
        (with("[components]\n\"a b\" = \"a.wasm\"\n"), "run.toml:4:", "letters"),
        (with("[components]\na = \"a\"\n"), "run.toml:4:", "registry/name@^1.2"),
        (with("[components]\na = \"r.example/a@latest\"\n"), "run.toml:4:", "registry/name@^1.2"),
        (with("[components]\na = 7\n"), "run.toml:4:", "a string or a table"),
        (with("[components.a]\nbuild = \"make\"\n"), "run.toml:3:", "build needs output"),
        (with("[components.a]\npath = \"a.wasm\"\nfrom = \"r/a@1\"\n"), "run.toml:3:", "needs one of"),
        (with("[components.a]\npath = \"/etc/a.wasm\"\n"), "run.toml:3:", "relative to the project"),
        (
            with("[components.a]\npath = \"a.wasm\"\nlanguage = \"rusty\"\n"),
            "run.toml:3:",
            "did you mean «rust»",
        ),
        (
            with("[components.a]\npath = \"a.wasm\"\ntools = [\"--help\"]\n"),
            "run.toml:3:",
            "no name of a program",
        ),
        (
            with("[components]\na = \"a.wasm\"\nb = \"b.wasm\"\n"),
            "run.toml:",
            "graph.root must say which of a, b",
        ),
        (
            with("[components]\nmath = \"a.wasm\"\n[graph]\nroot = \"maht\"\n"),
            "run.toml:",
            "did you mean «math»?",
        ),
        (
            with("[components]\na = \"a.wasm\"\n[graph]\nplug = [\"zzz\"]\n"),
            "run.toml:",
            "graph.plug names «zzz»",
        ),
        (
            with("[components]\na = \"a.wasm\"\n[graph.links.a]\ni = \"\"\n"),
            "run.toml:6:",
            "names no component",
        ),
        (with("[output]\nformat = \"zip\"\n"), "run.toml:4:", "layers"),
        ("name = ".into(), "run.toml:1:", ""),
    ] {
        let sentence = refused(&text);
        assert!(sentence.starts_with(start) && sentence.contains(word), "{sentence}");
    }
}

#[test]
fn a_name_is_one_that_a_registry_takes() {
    let project = |name: &str, version: &str| {
        parse(&format!("name = \"{name}\"\nversion = \"{version}\"\n[components]\na = \"a.wasm\"\n"))
    };
    for name in ["a", "a-b", "a--b", "a_b", "a.b", "0"] {
        let tag = project(name, "1.0.0+x").unwrap().tag();
        assert_eq!(tag, format!("localhost/{name}:1.0.0-x"));
        assert!(tag.parse::<Reference>().is_ok());
    }
    for name in ["", "-", "a-", "-a", "a..b", "a/b", "A", "..", "a b", "a:1"] {
        assert!(project(name, "1.0.0").is_err(), "{name}");
    }
    assert!(project("a", &format!("1.0.0-{}", "x".repeat(200))).is_err(), "too long for a tag");
}

#[test]
fn a_file_that_is_missing_or_huge_is_refused_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    assert!(Project::read(&path).unwrap_err().to_string().contains("there is no "));
    std::fs::File::create(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
    assert!(Project::read(&path).unwrap_err().to_string().contains("the limit is 1048576"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: String, keys in prop::collection::vec("[a-z.\\[\\]=\"{}\n ]{0,20}", 0..6)) {
        drop(parse(&text));
        drop(parse(&with(&keys.join("\n"))));
    }
}
