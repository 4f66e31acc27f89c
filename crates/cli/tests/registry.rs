//! The commands that talk to registries, as their users see them, with a real one (`REGISTRY_BIN` names the folder of
//! docker-registry) and with a bad one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../../builder/tests/registry/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the library's tests, which use all of it")]
#[path = "../../builder/tests/registry/faults.rs"]
mod faults;
#[path = "registry/oras.rs"]
mod oras;
mod support;
#[path = "registry/wkg.rs"]
mod wkg;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use daemon::Daemon;
use faults::{Reply, Server};
use support::Shell;

const HELLO: &str = r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
const OTHER: &str = "(component)";

/// A folder with two components.
fn shell() -> Shell {
    Shell::with(&[("hello.wat", HELLO.as_bytes()), ("other.wat", OTHER.as_bytes())])
}

/// What the shell's user has in the cache.
fn cached(shell: &Shell) -> Vec<String> {
    let folder = shell.path(".cache/run-wasm/blobs/sha256");
    fs::read_dir(folder).map_or(Vec::new(), |entries| {
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    })
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[test]
fn an_image_goes_to_a_registry_and_comes_back_byte_for_byte() {
    let (daemon, shell) = (Daemon::start(), shell());
    let name = &format!("{}/team/hello:1.0.0", daemon.address);
    shell.ok(&["image", "--name", name, "-o", "x.tar", "hello.wat"]);
    let pushed = shell.ok(&["push", "x.tar", name]);
    assert!(pushed.starts_with(&format!("{name}@sha256:")) && pushed.lines().count() == 1, "{pushed}");
    assert_eq!(shell.ok(&["pull", name, "-o", "y.tar"]), pushed);
    assert_eq!(read(&shell.path("x.tar")), read(&shell.path("y.tar")));
    assert_eq!(shell.ok(&["pull", name, "--output", "layout"]), pushed);
    let digest = pushed.trim().rsplit('@').next().unwrap();
    let other = &format!("{}/team/copy:x", daemon.address);
    let json: serde_json::Value =
        serde_json::from_str(&shell.ok(&["push", "--json", "--mount-from", "team/hello", "layout", other]))
            .unwrap();
    assert_eq!(json["digest"], digest);
    assert_eq!(cached(&shell).len(), 3);
}

#[test]
fn progress_is_lines_or_json_on_stderr() {
    let (daemon, shell) = (Daemon::start(), shell());
    let name = &format!("{}/hello:1", daemon.address);
    shell.ok(&["image", "--name", name, "-o", "x.tar", "hello.wat"]);
    let said = |words: &[&str]| String::from_utf8(shell.run(words).stderr).unwrap();
    let lines = said(&["push", "x.tar", name]);
    assert_eq!(lines.lines().filter(|line| line.ends_with("MiB  pushed")).count(), 2, "{lines}");
    assert!(said(&["push", "x.tar", name]).contains("is there already"));
    let json = said(&["pull", "--json", name]);
    let events: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let finished =
        events.iter().filter(|event| event["event"] == "finished" && event["how"] == "transferred");
    assert_eq!(finished.count(), 2, "{json}");
    assert_eq!(said(&["pull", "--quiet", name]), "");
}

#[test]
fn a_version_is_published_once() {
    let (daemon, shell) = (Daemon::start(), shell());
    let repository = &format!("{}/ns/math", daemon.address);
    for (file, tar) in [("hello.wat", "one.tar"), ("other.wat", "two.tar")] {
        shell.ok(&["image", "--name", "localhost/math:1", "-o", tar, file]);
    }
    let name = &format!("{repository}:1.2.3");
    let published = shell.ok(&["publish", "one.tar", name]);
    let tags: Vec<&str> =
        published.lines().map(|line| line.split('@').next().unwrap().rsplit(':').next().unwrap()).collect();
    assert_eq!(tags, ["1.2.3", "1.2", "1", "latest"]);
    assert_eq!(shell.ok(&["publish", "one.tar", name]), published);
    assert!(shell.refused(&["publish", "two.tar", name]).contains("a published version never changes"));
    shell.ok(&["publish", "two.tar", &format!("{repository}:1.10.0-rc.1")]);
    assert_eq!(shell.ok(&["tags", repository]), "latest\n1\n1.10.0-rc.1\n1.2\n1.2.3\n");
    let json: Vec<String> =
        serde_json::from_str(&shell.ok(&["tags", "--output", "json", repository])).unwrap();
    assert_eq!(json.len(), 5);
    let error = shell.refused(&["publish", "one.tar", &format!("{repository}:edge")]);
    assert!(error.contains("«edge» is no version: publish as"), "{error}");
}

const APP: &str =
    r#"(component (import "a:math/add@0.1.0" (instance)) (instance $i) (export "a:app/api" (instance $i)))"#;
const MATH: &str = r#"(component (instance $i) (export "a:math/add@0.1.0" (instance $i)))"#;

#[test]
fn a_dependency_is_one_component_however_it_is_packed() {
    let daemon = Daemon::start();
    let library = "name = \"lib\"\nversion = \"1.0.0\"\n[components]\napp = \"app.wat\"\nmath = \"math.wat\"\n[graph]\nroot = \"app\"\n";
    let root = r#"(component (import "a:app/api" (instance)) (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
    let shell = Shell::with(&[
        ("lib/run.toml", library.as_bytes()),
        ("lib/app.wat", APP.as_bytes()),
        ("lib/math.wat", MATH.as_bytes()),
        ("root.wat", root.as_bytes()),
    ]);
    let mut images = Vec::new();
    for format in ["image", "artifact", "layers"] {
        let name = &format!("{}/team/{format}", daemon.address);
        shell.ok(&["build", "lib", "--format", format, "--output", "tar:lib.tar"]);
        shell.ok(&["publish", "lib.tar", &format!("{name}:1.0.0")]);
        let seen = shell.ok(&["inspect", &format!("{name}:1.0.0")]);
        assert!(seen.contains("a:app/api") && !seen.contains("a:math"), "{seen}");
        let project = format!(
            "name = \"x\"\nversion = \"1.0.0\"\n[components]\nroot = \"root.wat\"\nlib = \"{name}@^1\"\n[graph]\nroot = \"root\"\n"
        );
        fs::write(shell.path("run.toml"), project).unwrap();
        let image = shell.ok(&["build"]);
        let pod = shell.ok(&["scaffold", "x.tar"]);
        assert!(pod.contains("localhost/x:1.0.0"), "{pod}");
        images.push(image);
    }
    // Names for debuggers are all in which the linked layers differ.
    assert_eq!(images[0], images[1]);
    let unlinked = &format!("{}/team/unlinked:1.0.0", daemon.address);
    shell.ok(&["image", "--name", unlinked, "-o", "two.tar", "lib/app.wat", "lib/math.wat"]);
    shell.ok(&["publish", "two.tar", unlinked]);
    let project = fs::read_to_string(shell.path("run.toml")).unwrap().replace("/layers@", "/unlinked@");
    fs::write(shell.path("run.toml"), project).unwrap();
    let sentence = shell.refused(&["build"]);
    assert!(
        sentence.contains("component «lib»: cannot depend on")
            && sentence.contains("no plan that links them"),
        "{sentence}"
    );
}

#[test]
fn an_sbom_is_published_with_its_image() {
    let (daemon, shell) = (Daemon::start(), shell());
    let project = "name = \"hello\"\nversion = \"1.0.0\"\n[components]\nhello = \"hello.wat\"\n";
    fs::write(shell.path("run.toml"), project).unwrap();
    shell.ok(&["build", "--sbom", "hello.spdx.json"]);
    let name = &format!("{}/team/hello:1.0.0", daemon.address);
    let words = ["publish", "hello.tar", name, "--sbom", "hello.spdx.json", "--json"];
    let json: serde_json::Value = serde_json::from_str(&shell.ok(&words)).unwrap();
    let attached = format!("{}/team/hello@{}", daemon.address, json["sbom"].as_str().unwrap());
    shell.ok(&["pull", &attached]);
    let digest = image::Digest::of(&read(&shell.path("hello.spdx.json")));
    assert!(cached(&shell).contains(&digest.hex()));
    // One of another image is refused before anything is sent.
    shell.ok(&["image", "--name", name, "-o", "other.tar", "other.wat"]);
    let other = format!("{}/team/other:1.0.0", daemon.address);
    let sentence = shell.refused(&["publish", "other.tar", &other, "--sbom", "hello.spdx.json"]);
    assert!(sentence.contains("is the SBOM of the image"), "{sentence}");
    assert!(shell.refused(&["tags", &format!("{}/team/other", daemon.address)]).contains("is not in"));
}

#[test]
fn a_key_of_cosigns_signs_by_its_password() {
    let (daemon, shell) = (Daemon::start(), shell());
    for (name, text) in [
        ("cosign.key", &include_bytes!("../../builder/src/sign/vectors/cosign.key")[..]),
        ("cosign.pub", include_bytes!("../../builder/src/sign/vectors/cosign.pub")),
    ] {
        fs::write(shell.path(name), text).unwrap();
    }
    let name = &format!("{}/hello:1", daemon.address);
    shell.ok(&["image", "--name", name, "-o", "x.tar", "hello.wat"]);
    shell.ok(&["push", "x.tar", name]);
    let sign = |password: Option<&str>| {
        let mut command = shell.command(&["sign", name, "--key", "cosign.key"]);
        if let Some(password) = password {
            command.env("COSIGN_PASSWORD", password);
        }
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let (ok, said) = sign(None);
    assert!(
        !ok && said.contains("there is no terminal to ask at: give its password in COSIGN_PASSWORD"),
        "{said}"
    );
    let (ok, said) = sign(Some("wrong"));
    assert!(!ok && said.contains("its password is another"), "{said}");
    assert!(shell.refused(&["verify", name, "--key", "cosign.pub"]).contains("has no signature"));
    let (ok, said) = sign(Some("open sesame"));
    assert!(ok, "{said}");
    shell.ok(&["verify", name, "--key", "cosign.pub"]);
}

#[test]
fn many_processes_share_one_cache() {
    let (daemon, shell) = (Daemon::start(), shell());
    let name = &format!("{}/hello:1", daemon.address);
    shell.ok(&["image", "--name", name, "-o", "x.tar", "hello.wat"]);
    shell.ok(&["push", "x.tar", name]);
    let outputs: Vec<String> = (0..6).map(|n| format!("{n}.tar")).collect();
    let pulls: Vec<Child> = outputs
        .iter()
        .map(|output| {
            shell.command(&["pull", "--quiet", name, "-o", output]).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut pull in pulls {
        assert!(pull.wait().unwrap().success());
    }
    assert!(outputs.iter().all(|output| read(&shell.path(output)) == read(&shell.path("x.tar"))));
    assert!(cached(&shell).iter().all(|name| name.len() == 64), "{:?}", cached(&shell));
}

#[test]
fn an_interrupted_pull_leaves_nothing() {
    let shell = shell();
    let layer = vec![b'x'; 1 << 20];
    let digest = |bytes: &[u8]| image::Digest::of(bytes).to_string();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": {"mediaType": "x/y", "digest": digest(b"{}"), "size": 2},
        "layers": [{"mediaType": "x/y", "digest": digest(&layer), "size": layer.len()}],
    })
    .to_string();
    let server = Server::start(move |request, _| match request.path.as_str() {
        path if path.contains("/manifests/") => Reply::new(200, manifest.clone())
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json"),
        path if path.contains(&digest(b"{}")) => Reply::new(200, "{}"),
        _ => Reply::new(200, layer.clone()).stalling_after(1 << 19),
    });
    let name = format!("{}/hello:1", server.address);
    let mut pull = shell
        .command(&["pull", &name, "-o", "x.tar"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let drafts = || cached(&shell).iter().filter(|name| name.starts_with(".draft-")).count();
    let begin = Instant::now();
    while drafts() == 0 || cached(&shell).len() < 2 {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", cached(&shell));
        std::thread::sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-TERM", &pull.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(pull.wait().unwrap().code(), Some(1));
    assert_eq!((drafts(), shell.path("x.tar").exists()), (0, false));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_sent() {
    let shell = shell();
    for (words, sentence) in [
        (&["push", "absent.tar", "registry.example/a:1"][..], "absent.tar cannot be used"),
        (&["push", "hello.wat", "registry.example/a:1"], "it is no OCI layout, folder or tar"),
        (&["push", ".", "registry.example/a:1"], "it is no OCI layout, folder or tar"),
        (&["tags", "registry.example/a", "--ca-file", "hello.wat"], "hello.wat cannot be used"),
    ] {
        let error = shell.refused(words);
        assert!(error.contains(sentence), "{error}");
    }
    for words in [&["push", "x.tar", "math"][..], &["pull", "ns/math:1"], &["tags", "registry.example/a:1"]] {
        let output = shell.run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}

#[test]
fn a_credential_helper_is_asked_for_the_registry() {
    // `user:secret`, as a request shows it.
    let server = Server::start(|request, _| match request.headers.get("authorization") {
        Some(shown) if *shown == "Basic dXNlcjpzZWNyZXQ=" => Reply::new(200, r#"{"tags": []}"#),
        _ => Reply::new(401, "").header("WWW-Authenticate", "Basic realm=x"),
    });
    let address = &server.address;
    let script = format!(
        "#!/bin/sh\nread server\n[ \"$1 $server\" = 'get {address}' ] || {{ echo credentials not found in native keychain; exit 1; }}\necho '{{\"ServerURL\": \"x\", \"Username\": \"user\", \"Secret\": \"secret\"}}'\n"
    );
    let shell = Shell::with(&[
        ("docker-credential-test-of-run-wasm", script.as_bytes()),
        ("config.json", br#"{"credsStore": "test-of-run-wasm"}"#),
    ]);
    let helper = shell.path("docker-credential-test-of-run-wasm");
    fs::set_permissions(helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", shell.folder().display(), std::env::var("PATH").unwrap());
    let mut tags = shell.command(&["tags", &format!("{address}/a"), "--output", "json"]);
    let output = tags.env("PATH", path).env("DOCKER_CONFIG", shell.folder()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[]");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_dependency_is_installed_locked_and_built_with_and_comments_stay() {
    const MATH: &str = r#"(component
        (core module $m (func (export "f")))
        (core instance $c (instantiate $m))
        (func $f (canon lift (core func $c "f")))
        (instance $i (export "f" (func $f)))
        (export "a:math/add@0.1.0" (instance $i)))"#;
    const APP: &str = r#"(component
        (import "a:math/add@0.1.0" (instance (export "f" (func))))
        (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
    let project =
        "# The calculator.\nname = \"calc\"\nversion = \"1.0.0\"\n\n[components]\napp = \"app.wat\" # ours\n";
    let daemon = Daemon::start();
    let files = [("run.toml", project), ("app.wat", APP), ("math.wat", MATH)];
    let shell = Shell::with(&files.map(|(name, text)| (name, text.as_bytes())));
    let name = format!("{}/ns/math", daemon.address);
    for version in ["1.2.0", "1.3.0", "2.0.0"] {
        let tag = format!("{name}:{version}");
        shell.ok(&["image", "--name", &tag, "--env", &format!("V={version}"), "-o", "math.tar", "math.wat"]);
        shell.ok(&["publish", "math.tar", &tag]);
    }

    let said = shell.ok(&["install", "--quiet", &format!("{name}@^1.2")]);
    assert!(said.starts_with(&format!("math {name}:1.3.0@sha256:")), "{said}");
    let text = String::from_utf8(read(&shell.path("run.toml"))).unwrap();
    let added = format!("math = \"{name}@^1.2\"\n\n[graph]\nroot = \"app\"\n");
    assert_eq!(text, format!("{project}{added}"));
    let lock = String::from_utf8(read(&shell.path("run.lock.toml"))).unwrap();
    assert!(lock.contains("version = \"1.3.0\""), "{lock}");
    let built = shell.ok(&["build"]);

    // What is locked stays until it is asked for otherwise.
    let json: serde_json::Value = serde_json::from_str(&shell.ok(&["install", "--json"])).unwrap();
    assert_eq!(json["math"]["version"], "1.3.0");
    assert_eq!(shell.ok(&["build", "--locked"]), built);
    let newest = shell.ok(&["install", "--quiet", &name]);
    assert!(newest.contains(":2.0.0@sha256:"), "{newest}");
    assert!(String::from_utf8(read(&shell.path("run.toml"))).unwrap().contains("ns/math@^2.0.0\""));

    // A mistake changes nothing.
    let before = (read(&shell.path("run.toml")), read(&shell.path("run.lock.toml")));
    let refused = shell.refused(&["install", &format!("{name}@^7")]);
    assert!(refused.contains("2.0.0"), "{refused}");
    let refused = shell.refused(&["install", "--name", "app", &name]);
    assert!(refused.contains("--name"), "{refused}");
    assert_eq!(before, (read(&shell.path("run.toml")), read(&shell.path("run.lock.toml"))));
}
