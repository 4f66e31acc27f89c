//! The same registry by `oras`, the OCI project's own tool for artifacts (`OCI_TOOLS_BIN` names its folder).

use std::fs;
use std::sync::Arc;

use builder::registry::{Client, Options, Reference, Silent};
use serde_json::Value;

use crate::daemon::{Daemon, oci_tools};
use crate::support::{Shell, printed};

/// What oras prints.
fn oras(shell: &Shell, words: &[&str]) -> String {
    let oras = oci_tools().join("oras");
    printed(&mut shell.by(oras.to_str().unwrap(), words))
}

/// A folder with a component.
fn shell() -> Shell {
    let hello = wat::parse_str(super::HELLO).unwrap();
    Shell::with(&[("hello.wasm", &hello), ("config.json", b"{}"), ("note.txt", b"a note")])
}

#[test]
fn oras_pulls_what_we_push() {
    let shell = shell();
    for daemon in [Daemon::start(), Daemon::with_referrers()] {
        for format in ["image", "artifact"] {
            let name = &format!("{}/team/{format}:1", daemon.address);
            shell.ok(&["image", "--name", name, "--format", format, "-o", "x.tar", "hello.wasm"]);
            let digest = shell.ok(&["push", "x.tar", name]);
            let found = oras(&shell, &["resolve", "--plain-http", name]);
            assert_eq!(found.trim(), digest.trim().rsplit('@').next().unwrap());
            oras(&shell, &["pull", "--plain-http", name, "--output", "pulled"]);
            let pulled = fs::read(shell.path("pulled/hello.wasm")).unwrap();
            assert_eq!(pulled, fs::read(shell.path("hello.wasm")).unwrap());
            fs::remove_dir_all(shell.path("pulled")).unwrap();
        }
    }
}

#[test]
fn we_read_what_oras_pushes_and_its_layouts() {
    let shell = shell();
    for daemon in [Daemon::start(), Daemon::with_referrers()] {
        let plain = &format!("{}/team/plain:1", daemon.address);
        oras(&shell, &["push", "--plain-http", plain, "hello.wasm:application/wasm"]);
        let wasm = &format!("{}/team/wasm:1.0.0", daemon.address);
        let config = "config.json:application/vnd.wasm.config.v0+json";
        oras(&shell, &["push", "--plain-http", "--config", config, wasm, "hello.wasm:application/wasm"]);
        for name in [plain, wasm] {
            assert!(shell.ok(&["inspect", name]).contains("command (wasi:cli/run@0.2.0)"));
            let pulled = shell.ok(&["pull", name, "--output", "x.tar"]);
            assert!(
                pulled.trim().ends_with(oras(&shell, &["resolve", "--plain-http", name]).trim()),
                "{pulled}"
            );
            let layout = "layout:1";
            oras(&shell, &["copy", "--from-plain-http", name, "--to-oci-layout", layout]);
            let copy = &format!("{}/other/copy:1", daemon.address);
            let pushed = shell.ok(&["push", "layout", copy]);
            assert_eq!(pushed.rsplit('@').next(), pulled.rsplit('@').next());
            fs::remove_dir_all(shell.path("layout")).unwrap();
        }
        // As a dependency of a project.
        let project = format!(
            "name = \"x\"\nversion = \"1.0.0\"\n[components]\nhello = \"{}/team/wasm@^1\"\n",
            daemon.address
        );
        fs::write(shell.path("run.toml"), project).unwrap();
        assert!(shell.ok(&["build", "--update"]).starts_with("localhost/x:1.0.0@sha256:"));
    }
}

#[test]
fn each_lists_what_the_other_has_attached() {
    let shell = shell();
    let project = "name = \"hello\"\nversion = \"1.0.0\"\n[components]\nhello = \"hello.wasm\"\n";
    fs::write(shell.path("run.toml"), project).unwrap();
    shell.ok(&["build", "--sbom", "hello.spdx.json"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for daemon in [Daemon::start(), Daemon::with_referrers()] {
        let name = &format!("{}/team/hello:1.0.0", daemon.address);
        let words = ["push", "hello.tar", name, "--sbom", "hello.spdx.json", "--json"];
        let pushed: Value = serde_json::from_str(&shell.ok(&words)).unwrap();
        let found: Value = serde_json::from_str(&oras(
            &shell,
            &[
                "discover",
                "--plain-http",
                "--format",
                "json",
                "--artifact-type",
                "application/spdx+json",
                name,
            ],
        ))
        .unwrap();
        let referrers = found["referrers"].as_array().unwrap();
        assert_eq!(referrers.len(), 1, "{found}");
        assert_eq!(referrers[0]["digest"], pushed["sbom"]);

        oras(
            &shell,
            &["attach", "--plain-http", "--artifact-type", "text/plain", name, "note.txt:text/plain"],
        );
        let options = Options { docker_config: Some(shell.path("none")), ..Options::default() };
        let client = Client::new(options, Arc::new(Silent)).unwrap();
        let reference: Reference = name.parse().unwrap();
        let subject = pushed["digest"].as_str().unwrap().parse().unwrap();
        let listed = runtime.block_on(client.referrers(reference.repository(), &subject, None)).unwrap();
        let mut types: Vec<&str> = listed.iter().map(|one| one.artifact_type.as_str()).collect();
        types.sort_unstable();
        assert_eq!(types, ["application/spdx+json", "text/plain"]);
    }
}
