//! Images that kubelet pulls from a registry.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::cluster::{Mode, Namespace, container_status, guest_container, with};

use crate::table::{Feature, feature};

pub const FEATURES: &[Feature] =
    &[feature("image by digest from a registry with imagePullSecret", by_digest)];

const USER: &str = "puller";
const PASSWORD: &str = "secret";
/// The password's bcrypt, of the lowest cost.
const HTPASSWD: &str = "puller:$2b$04$kUx.SEw620BoNiu3ryyEDuNvz//LTvyLVhWOMVNZfXX.SXd1zLb8y\n";

/// A registry for those with the password, on the node's loopback address; it ends with the cluster.
fn registry(here: &Namespace<'_>) -> Result<String> {
    let (outside, inside) = here.folder()?;
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o755))?;
    let address = match here.mode() {
        Mode::Normal => "127.0.0.1:5000",
        Mode::Shared => "127.0.0.1:5001",
    };
    fs::write(outside.join("htpasswd"), HTPASSWD)?;
    fs::write(
        outside.join("registry.yaml"),
        format!(
            "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: \"{address}\"}}\nstorage: {{filesystem: {{rootdirectory: {inside}/images}}}}\n\
         auth: {{htpasswd: {{realm: tests, path: {inside}/htpasswd}}}}\n"
        ),
    )?;
    let line = format!("\"$0\" serve {inside}/registry.yaml >{inside}/registry.log 2>&1 </dev/null &");
    let program =
        std::env::var("REGISTRY_BIN").context("REGISTRY_BIN is not set: run this by scripts/test.sh")?;
    here.cluster().run(&["setsid", "bash", "-c", &line, &format!("{program}/docker-registry")])?.success()?;
    here.eventually("the registry answers", 30, || {
        Ok(here.cluster().run(&["curl", "--silent", &format!("http://{address}/v2/")])?.code == 0)
    })?;
    Ok(address.to_owned())
}

/// Pushes the image of a guest, and has the node forget it; its reference by digest.
fn pushed(here: &Namespace<'_>, registry: &str, guest: &str) -> Result<String> {
    let (name, local) = (format!("{registry}/{guest}:1"), format!("localhost/{guest}:1"));
    let ctr = |words: &[&str]| here.cluster().run(&[&["ctr"], words].concat())?.success();
    ctr(&["images", "tag", &local, &name])?;
    ctr(&["images", "push", "--plain-http", "--user", &format!("{USER}:{PASSWORD}"), &name])?;
    let list = ctr(&["images", "ls", &format!("name=={name}")])?;
    let digest =
        list.split_whitespace().find(|word| word.starts_with("sha256:")).context("no digest")?.to_owned();
    ctr(&["images", "rm", "--sync", &local, &name])?;
    Ok(format!("{registry}/{guest}@{digest}"))
}

fn by_digest(here: &Namespace<'_>) -> Result<()> {
    let registry = registry(here)?;
    let guest = match here.mode() {
        Mode::Normal => "hello-c",
        Mode::Shared => "hello-wat.p1",
    };
    here.cluster().import(&[guest])?;
    let image = pushed(here, &registry, guest)?;
    let config = json!({"auths": {registry: {"username": USER, "password": PASSWORD}}});
    here.create(&json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config.to_string()},
    }))?;
    let container =
        with(guest_container("guest", guest, &[]), json!({"image": image, "imagePullPolicy": "Always"}));
    here.pod("without", json!({"containers": [container]}))?;
    here.pod_when("without", "cannot be pulled", |pod| {
        let reason =
            container_status(pod, "guest").and_then(|status| status.pointer("/state/waiting/reason"));
        matches!(reason.and_then(Value::as_str), Some("ErrImagePull" | "ImagePullBackOff"))
    })?;
    here.pod("with", json!({"imagePullSecrets": [{"name": "registry"}], "containers": [container]}))?;
    assert!(here.output("with")?.starts_with("hello from "));
    Ok(())
}
