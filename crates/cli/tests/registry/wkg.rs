//! The same registry by `wkg`, the Bytecode Alliance's own tool for components (`WKG_BIN` names its folder).

use std::fs;
use std::path::PathBuf;

use crate::daemon::Daemon;
use crate::support::{Shell, printed};

/// What wkg prints, with this registry as that of the namespace `team`.
fn wkg(shell: &Shell, daemon: &Daemon, words: &[&str]) -> String {
    let folder =
        std::env::var_os("WKG_BIN").expect("WKG_BIN names the folder of wkg (scripts/test.sh sets it)");
    let wkg = PathBuf::from(folder).join("wkg");
    let address = &daemon.address;
    let config = shell.path("wkg.toml");
    let registry = format!(
        "[namespace_registries]\nteam = \"{address}\"\n[registry.\"{address}\".oci]\nprotocol = \"http\"\n"
    );
    fs::write(&config, registry).unwrap();
    let mut command = shell.by(wkg.to_str().unwrap(), words);
    printed(command.env("WKG_OCI_INSECURE", address).env("WKG_CONFIG_FILE", config))
}

/// A folder with a component.
fn shell() -> Shell {
    Shell::with(&[("hello.wasm", &wat::parse_str(super::HELLO).unwrap())])
}

#[test]
fn wkg_pulls_and_gets_what_we_push() {
    let (daemon, shell) = (Daemon::start(), shell());
    let hello = fs::read(shell.path("hello.wasm")).unwrap();
    let name = &format!("{}/team/hello:1.2.0", daemon.address);
    shell.ok(&["image", "--name", name, "--format", "artifact", "-o", "x.tar", "hello.wasm"]);
    shell.ok(&["publish", "x.tar", name]);
    wkg(&shell, &daemon, &["oci", "pull", name, "--output", "pulled.wasm"]);
    assert_eq!(fs::read(shell.path("pulled.wasm")).unwrap(), hello);
    wkg(&shell, &daemon, &["get", "team:hello", "--format", "wasm", "--output", "./got.wasm"]);
    assert_eq!(fs::read(shell.path("got.wasm")).unwrap(), hello);
}

#[test]
fn we_read_what_wkg_pushes() {
    let (daemon, shell) = (Daemon::start(), shell());
    let name = &format!("{}/team/pushed:1.0.0", daemon.address);
    wkg(&shell, &daemon, &["oci", "push", name, "hello.wasm"]);
    assert!(shell.ok(&["inspect", name]).contains("command (wasi:cli/run@0.2.0)"));
    assert!(shell.ok(&["pull", name, "-o", "x.tar"]).starts_with(&format!("{name}@sha256:")));
    // As a dependency of a project.
    let project = format!(
        "name = \"x\"\nversion = \"1.0.0\"\n[components]\nhello = \"{}/team/pushed@^1\"\n",
        daemon.address
    );
    fs::write(shell.path("run.toml"), project).unwrap();
    assert!(shell.ok(&["build"]).starts_with("localhost/x:1.0.0@sha256:"));
}
