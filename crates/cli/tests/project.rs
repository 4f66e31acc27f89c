//! Projects by the program: build, compose, scaffold, and what packagers install.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::fs;

use support::Shell;

const APP: &str = r#"(component
    (import "a:math/add@0.1.0" (instance (export "f" (func))))
    (import "wasi:http/outgoing-handler@0.2.3" (instance))
    (import "wasi:filesystem/preopens@0.2.3" (instance))
    (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;

const SERVER: &str = r#"(component (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#;

const MATH: &str = r#"(component
    (core module $m (func (export "f")))
    (core instance $c (instantiate $m))
    (func $f (canon lift (core func $c "f")))
    (instance $i (export "f" (func $f)))
    (export "a:math/add@0.1.2" (instance $i)))"#;

const PROJECT: &str = "name = \"calc\"\nversion = \"1.0.0\"\n[components]\napp = \"app.wat\"\nmath = \"math.wat\"\n[graph]\nroot = \"app\"\n";

fn shell() -> Shell {
    let files = [("run.toml", PROJECT), ("app.wat", APP), ("math.wat", MATH), ("server.wat", SERVER)];
    Shell::with(&files.map(|(name, text)| (name, text.as_bytes())))
}

#[test]
fn a_project_is_built_printed_and_locked() {
    let shell = shell();
    let line = shell.ok(&["build"]);
    assert!(line.starts_with("localhost/calc:1.0.0@sha256:") && line.lines().count() == 1, "{line}");
    assert!(shell.path("calc.tar").is_file() && shell.path("run.lock.toml").is_file());
    assert_eq!(shell.ok(&["build", "--locked", "--output", "oci:out", "--output", "tar:two.tar"]), line);
    assert_eq!(fs::read(shell.path("calc.tar")).unwrap(), fs::read(shell.path("two.tar")).unwrap());
    assert!(shell.path("out/oci-layout").is_file());
    let json: serde_json::Value =
        serde_json::from_str(&shell.ok(&["build", "--json", "--format", "layers", "."])).unwrap();
    assert_eq!((&json["image"], &json["written"][0]), (&"localhost/calc:1.0.0".into(), &"./calc.tar".into()));
    assert!(!line.contains(json["digest"].as_str().unwrap()));
}

#[test]
fn an_sbom_is_written_beside_the_image_that_it_is_of() {
    let shell = shell();
    let json: serde_json::Value =
        serde_json::from_str(&shell.ok(&["build", "--json", "--sbom", "calc.spdx.json"])).unwrap();
    assert_eq!(json["written"][1], "calc.spdx.json");
    let text = fs::read_to_string(shell.path("calc.spdx.json")).unwrap();
    let image = json["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert!(
        text.contains(image) && text.contains("SPDX-2.3") && text.contains("1970-01-01T00:00:00Z"),
        "{text}"
    );
    shell.ok(&["build", "--sbom", "again.json"]);
    assert_eq!(fs::read_to_string(shell.path("again.json")).unwrap(), text);
    // Another image's is refused before anything is pushed: nobody listens at that port.
    shell.ok(&["build", "--format", "layers", "--output", "tar:other.tar"]);
    let push = |file: &str| shell.refused(&["push", "other.tar", "localhost:1/calc:1", "--sbom", file]);
    assert!(push("calc.spdx.json").contains("is the SBOM of the image sha256:"));
    assert!(push("run.toml").contains("run.toml is no SPDX 2 document"));
    assert!(push("absent").contains("cannot read absent"));
}

#[test]
fn keys_are_made_once_and_asked_for() {
    let shell = shell();
    assert_eq!(shell.ok(&["sign", "--generate-key", "team"]), "team.key\nteam.pub\n");
    let key = fs::read(shell.path("team.key")).unwrap();
    assert!(shell.refused(&["sign", "--generate-key", "team"]).contains("is not overwritten"));
    assert_eq!(fs::read(shell.path("team.key")).unwrap(), key);
    let refused = |words: &[&str]| shell.refused(words);
    assert!(refused(&["sign", "localhost:1/a:1", "--key", "team.pub"]).contains("name the private one"));
    assert!(refused(&["verify", "localhost:1/a:1", "--key", "team.key"]).contains("name the .pub file"));
    assert!(refused(&["verify", "localhost:1/a:1", "--key", "absent"]).contains("cannot read absent"));
    for words in [
        &["sign"][..],
        &["sign", "localhost:1/a:1"],
        &["verify", "localhost:1/a:1"],
        &["sign", "x", "--key", "k"],
    ] {
        assert_eq!(shell.run(words).status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn a_build_that_fails_says_why_and_writes_nothing() {
    let shell = shell();
    fs::write(shell.path("run.toml"), PROJECT.replace("[graph]", "[grahp]")).unwrap();
    assert_eq!(
        shell.refused(&["build"]),
        "error: ./run.toml:6: there is no key «grahp»: did you mean «graph»?"
    );
    let file = "name = \"x\"\nversion = \"1.0.0\"\n[components.x]\nbuild = \"echo oh no >&2; false\"\noutput = \"x.wasm\"\n";
    fs::write(shell.path("run.toml"), file).unwrap();
    let output = shell.run(&["build", "--quiet"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("x | oh no\nerror: component «x» was not built: "), "{text}");
    assert!(shell.refused(&["build", "nowhere"]).contains("there is no nowhere/run.toml"));
    assert_eq!(shell.run(&["build", "--output", "x.tar"]).status.code(), Some(2));
    assert_eq!(fs::read_dir(shell.folder()).unwrap().count(), 4);
}

#[test]
fn components_are_linked_without_a_project() {
    let shell = shell();
    let line = shell.ok(&["compose", "app.wat", "--plug", "math.wat", "-o", "out.wasm"]);
    assert!(line.starts_with("out.wasm sha256:"), "{line}");
    let seen = shell.ok(&["inspect", "out.wasm"]);
    assert!(seen.contains("wasi:http/outgoing-handler") && !seen.contains("a:math"), "{seen}");
    let json = shell.ok(&["compose", "app.wat", "--plug", "math.wat", "-o", "out.wasm", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(format!("out.wasm {}\n", json["digest"].as_str().unwrap()), line);
    let linked = shell.ok(&[
        "compose",
        "app.wat",
        "--plug",
        "math.wat",
        "--link",
        "app:a:math/add=math",
        "-o",
        "2.wasm",
    ]);
    assert_eq!(linked.replace("2.wasm", "out.wasm"), line);
    let sentence = shell.refused(&["compose", "app.wat", "-o", "no.wasm"]);
    assert!(sentence.contains("nothing provides a:math/add@0.1.0 (imported by «app»)"), "{sentence}");
    assert!(!shell.path("no.wasm").exists());
    assert!(
        shell
            .refused(&["compose", "math.wat", "--world", "server", "-o", "no.wasm"])
            .contains("wasi:http/proxy")
    );
}

#[test]
fn a_wac_file_says_itself_what_is_linked() {
    let shell = shell();
    let text = "package a:out;\nlet math = new a:math { };\nlet app = new a:app { \"a:math/add@0.1.0\": math[\"a:math/add@0.1.2\"], ... };\nexport app...;\n";
    fs::write(shell.path("out.wac"), text).unwrap();
    let words =
        ["compose", "out.wac", "--plug", "a:math=math.wat", "--plug", "a:app=app.wat", "-o", "out.wasm"];
    shell.ok(&words);
    assert!(shell.ok(&["inspect", "out.wasm"]).contains("command (wasi:cli/run@0.2.0)"));
    fs::write(shell.path("out.wac"), text.replace("new a:math", "new a:maths")).unwrap();
    let sentence = shell.refused(&words);
    assert!(sentence.starts_with("error: out.wac:2: ") && sentence.contains("a:maths"), "{sentence}");
    assert!(
        shell.refused(&["compose", "out.wac", "--plug", "math.wat", "-o", "x.wasm"]).contains("NS:NAME=FILE")
    );
}

#[test]
fn scaffolded_yaml_grants_nothing_and_tells_what_may_be_needed() {
    let shell = shell();
    let pod = shell.ok(&["scaffold", "app.wat", "--image", "registry.example/ns/calc:1"]);
    assert!(pod.starts_with("apiVersion: v1\nkind: Pod\nmetadata:\n  name: calc\n"), "{pod}");
    assert!(
        pod.contains(
            "  #   run.wasm/egress: \"https://api.example.com\"  # wasi:http/outgoing-handler@0.2.3\n"
        ),
        "{pod}"
    );
    assert!(
        pod.contains("    image: \"registry.example/ns/calc:1\"\n") && pod.contains("# volumeMounts:"),
        "{pod}"
    );
    assert!(pod.contains("  #   run.wasm/plug: \"/deps/other.wasm\"  # a:math/add@0.1.0\n"), "{pod}");
    assert!(pod.contains("  runtimeClassName: run-wasm\n") && !pod.contains("\n  annotations:"), "{pod}");

    let service = shell.ok(&["scaffold", "server.wat", "--kind", "service"]);
    assert!(
        service.contains("kind: Deployment") && service.contains("\n---\napiVersion: v1\nkind: Service\n"),
        "{service}"
    );
    assert!(service.contains("        ports: [{ containerPort: 8080 }]\n"), "{service}");
    assert!(shell.ok(&["scaffold", "app.wat", "--kind", "job"]).contains("restartPolicy: Never"));
    assert!(shell.refused(&["scaffold", "app.wat", "--kind", "service"]).contains("serves no HTTP"));
    assert!(shell.refused(&["scaffold", "server.wat", "--kind", "job"]).contains("never ends"));
    assert!(shell.refused(&["scaffold", "math.wat"]).contains("nothing that can be run"));
}

#[test]
fn an_image_is_scaffolded_by_what_its_layers_are_together() {
    let shell = shell();
    for format in ["image", "artifact", "layers"] {
        shell.ok(&["build", "--format", format, "--output", "oci:out"]);
        let pod = shell.ok(&["scaffold", "out"]);
        assert!(
            pod.contains("image: \"localhost/calc:1.0.0\"") && pod.contains("# wasi:http/outgoing-handler"),
            "{pod}"
        );
    }
    // A tar is read as it is.
    let pod = shell.ok(&["scaffold", "out"]);
    shell.ok(&["build", "--format", "layers", "--output", "tar:out.tar"]);
    assert_eq!(shell.ok(&["scaffold", "out.tar"]), pod);
    assert!(shell.ok(&["inspect", "out.tar"]).contains("wasi:http/outgoing-handler"));
    assert!(shell.ok(&["inspect", "out", "--grants"]).starts_with("may need   run.wasm/egress"));
    let blob = fs::read_dir(shell.path("out/blobs/sha256")).unwrap().next().unwrap().unwrap().path();
    fs::write(blob, "x").unwrap();
    assert!(shell.refused(&["scaffold", "out"]).contains("pull the image again"));
}

#[test]
fn inspect_tells_what_a_pod_may_have_to_give() {
    let shell = shell();
    let table = shell.ok(&["inspect", "app.wat"]);
    assert!(
        table.contains(
            "may need   run.wasm/egress: \"https://api.example.com\"  # wasi:http/outgoing-handler@0.2.3\n"
        ),
        "{table}"
    );
    assert!(shell.ok(&["inspect", "math.wat"]).ends_with("may need   no grant\n"));
    let json: serde_json::Value =
        serde_json::from_str(&shell.ok(&["inspect", "--output", "json", "server.wat"])).unwrap();
    assert_eq!(json["may_need"][0]["need"], "http-port");
    let grants = shell.ok(&["inspect", "--grants", "server.wat"]);
    assert_eq!(grants, "may need   ports: [{ containerPort: 8080 }]  # wasi:http/incoming-handler@0.2.0\n");
    let json: serde_json::Value =
        serde_json::from_str(&shell.ok(&["inspect", "--grants", "--output", "json", "server.wat"])).unwrap();
    assert_eq!(json[0]["need"], "http-port");
}

#[test]
fn completions_and_man_pages_are_of_this_program() {
    let shell = shell();
    let help = shell.ok(&["help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().next().unwrap())
        .filter(|name| *name != "help")
        .collect();
    assert!(commands.len() > 15, "{commands:?}");
    for name in ["bash", "zsh", "fish"] {
        let completions = shell.ok(&["completions", name]);
        for command in &commands {
            assert!(completions.contains(command), "{name}: {command}");
        }
    }
    for command in &commands {
        let page = shell.ok(&["man", command]);
        assert!(page.starts_with(".ie") && page.contains(command), "{command}: {page}");
    }
    assert!(shell.ok(&["man"]).contains("run\\-wasm"));
    assert!(shell.ok(&["man", "build"]).contains("locked"));
    assert!(shell.refused(&["man", "biuld"]).contains("no command «biuld»"));
}
