//! Pods whose images the node's policy wants signed. CRI knows images by their ids; the policy is about names.

use std::fs;

use anyhow::{Context, Result, ensure};
use image::build::Layout;
use image::manifest::ARCHITECTURE;
use image::media::{OCI_INDEX, OCI_MANIFEST};
use image::{Digest, Format, ImageBuilder};
use serde_json::{Value, json};
use testkit::{Node, Registry, command_line, eventually, guest, refusal};

const REPOSITORY: &str = "127.0.0.1:5000/prod/hello";

fn run_wasm(node: &Node, words: &[&str]) -> Result<String> {
    let output = command_line(node.nest())?.args(words).output().context("cannot run run-wasm")?;
    ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn path(node: &Node, name: &str) -> String {
    node.nest().folder().join(name).display().to_string()
}

/// From now on images of `prod` have to be signed.
fn require_signatures(node: &Node) -> Result<()> {
    run_wasm(node, &["sign", "--generate-key", &path(node, "team")])?;
    let key = path(node, "team.pub");
    node.configure_native(&format!(
        "[[require-signature]]\nprefix = \"127.0.0.1:5000/prod/\"\nkeys = [\"{key}\"]\n"
    ))
}

/// Has the registry's signatures of an image in containerd.
fn import_signatures(node: &Node, repository: &str, digest: &str) -> Result<()> {
    let signatures = format!("{repository}:{}.sig", digest.replace(':', "-"));
    run_wasm(node, &["pull", &signatures, "--output", &path(node, "signatures.tar")])?;
    import(node, "signatures.tar")
}

fn import(node: &Node, tar: &str) -> Result<()> {
    let tar = path(node, tar);
    node.containerd()
        .ctr(["images", "import", "--local", "--all-platforms", "--no-unpack", &tar])?
        .success()
        .map(drop)
}

/// An image for this machine that has its Wasm in a root file system.
fn files(guests: &str) -> Result<Layout> {
    let image = ImageBuilder::new().format(Format::Rootfs).entrypoint(["/hello.wasm"]);
    Ok(image.rootfs_file("/hello.wasm", guest(guests)?, 0o644).build()?)
}

/// What one packs as `name` below an index, each for an os and an architecture.
fn index(name: &str, entries: &[(&Layout, &str, &str)]) -> Result<Vec<u8>> {
    let entry = |(layout, os, architecture): &(&Layout, &str, &str)| -> Value {
        json!({
            "mediaType": OCI_MANIFEST,
            "digest": layout.digest().to_string(),
            "size": layout.manifest_bytes().len(),
            "platform": { "os": os, "architecture": architecture },
        })
    };
    let list = |entries: Vec<Value>| {
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries }).to_string().into_bytes()
    };
    let index = list(entries.iter().map(entry).collect());
    let top = list(vec![json!({
        "mediaType": OCI_INDEX,
        "digest": Digest::of(&index).to_string(),
        "size": index.len(),
        "annotations": { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1" },
    })]);
    let mut packed = tar::Builder::new(Vec::new());
    let mut add = |path: String, bytes: &[u8]| -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(bytes.len())?);
        header.set_mode(0o644);
        Ok(packed.append_data(&mut header, path, bytes)?)
    };
    for (digest, bytes) in entries.iter().flat_map(|(layout, ..)| layout.blobs()) {
        add(format!("blobs/sha256/{}", digest.hex()), bytes)?;
    }
    add(format!("blobs/sha256/{}", Digest::of(&index).hex()), &index)?;
    add("index.json".to_owned(), &top)?;
    add("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(packed.into_inner()?)
}

/// What a container of an image writes, or the sentence for which it was refused.
fn tried(node: &Node, image: &str) -> Result<Result<String, String>> {
    let pod = node.pod("signed").native().run()?;
    let tried = match pod.container("app", image).start() {
        Ok(container) => {
            assert_eq!(container.end()?.exit_code, 0, "{:?}", container.log()?);
            Ok(container.output("stdout")?)
        }
        Err(refused) => Err(format!("{refused:#}")),
    };
    pod.remove()?;
    Ok(tried)
}

testkit::pod_stories! {
    fn a_pod_runs_an_image_of_the_rule_only_signed_by_whatever_name(node) {
        let registry = Registry::start(node.nest())?;
        let path = |name: &str| path(node, name);
        require_signatures(node)?;
        let name = format!("{REPOSITORY}:1");
        fs::write(path("hello.tar"), ImageBuilder::new().wasm("hello.wasm", guest("hello.wasm")?).to_oci_tar(&name)?)?;
        let pushed = run_wasm(node, &["push", &path("hello.tar"), &name])?;
        let digest = pushed.rfind("sha256:").and_then(|at| pushed.get(at..)).context("no digest was pushed")?;
        let id = node.pull(&name)?;
        let by_digest = format!("{REPOSITORY}@{digest}");
        for asked_for in [name.as_str(), &id, &by_digest] {
            let said = tried(node, asked_for)?.err().context("an unsigned image ran")?;
            assert!(said.contains("require-signature «127.0.0.1:5000/prod/»") && said.contains(digest), "{asked_for}: {said}");
        }
        // A native image is under the same rule.
        let busybox = node.busybox()?;
        let pod = node.pod("native").native().run()?;
        let container = pod.container("app", &busybox).command(["/bin/sh", "-c", "true"]).start()?;
        assert_eq!(container.end()?.exit_code, 0, "no rule is about it");
        pod.remove()?;
        let theirs = "127.0.0.1:5000/prod/busybox:1";
        node.containerd().ctr(["images", "tag", &busybox, theirs])?.success()?;
        eventually("CRI has the other name", 30, || Ok(node.image_id(theirs)?.is_some()))?;
        let pod = node.pod("native").native().run()?;
        let said = refusal(pod.container("app", theirs).command(["/bin/sh", "-c", "true"]).start())?;
        assert!(said.contains("require-signature") && said.contains("prod/busybox"), "{said}");
        pod.remove()?;

        run_wasm(node, &["sign", &name, "--key", &path("team.key")])?;
        import_signatures(node, REPOSITORY, digest)?;
        for asked_for in [name.as_str(), &id, &by_digest] {
            // A manager repeats for a while what it said before.
            eventually("the signed image runs", 60, || Ok(tried(node, asked_for)?.is_ok()))?;
            assert_eq!(tried(node, asked_for)?, Ok("hello from run-wasm\n".to_owned()), "{asked_for}");
        }
        registry.stop()?;
    }

    fn a_signed_entry_of_an_index_says_nothing_of_the_one_that_runs(node) {
        let registry = Registry::start(node.nest())?;
        require_signatures(node)?;
        let (for_wasm, for_linux) = (files("hello.wasm")?, files("hello-c.wasm")?);
        let sign = |layout: &Layout, tag: &str| -> Result<()> {
            let name = format!("{REPOSITORY}:{tag}");
            fs::write(path(node, "one.tar"), layout.to_tar(&name, 0)?)?;
            run_wasm(node, &["push", &path(node, "one.tar"), &name])?;
            run_wasm(node, &["sign", &name, "--key", &path(node, "team.key")])?;
            import_signatures(node, REPOSITORY, &layout.digest().to_string())
        };
        sign(&for_wasm, "wasm")?;
        // The shim would take the first of these; CRI makes the root file system of the second.
        let name = format!("{REPOSITORY}:1");
        let entries = [(&for_wasm, "wasip2", "wasm"), (&for_linux, "linux", ARCHITECTURE)];
        fs::write(path(node, "both.tar"), index(&name, &entries)?)?;
        import(node, "both.tar")?;
        eventually("CRI has it", 30, || Ok(node.image_id(&name)?.is_some()))?;
        let said = tried(node, &name)?.err().context("an unsigned root file system ran")?;
        assert!(said.contains("require-signature «127.0.0.1:5000/prod/»"), "{said}");
        sign(&for_linux, "linux")?;
        eventually("the signed one runs", 60, || Ok(tried(node, &name)?.is_ok()))?;
        assert_eq!(tried(node, &name)?, Ok("hello from c\n".to_owned()));
        registry.stop()?;
    }

    fn without_a_rule_a_name_that_leads_elsewhere_by_now_takes_no_exec_from_a_container(node) {
        let name = "registry.example/moving:1";
        let import_with = |greeter: &str| -> Result<String> {
            let image = ImageBuilder::new().format(Format::Rootfs).entrypoint(["/sleep.wasm"]);
            let image = image.rootfs_file("/sleep.wasm", guest("sleep.wasm")?, 0o644);
            let layout = image.rootfs_file("/greet.wasm", guest(greeter)?, 0o644).build()?;
            fs::write(path(node, "moving.tar"), layout.to_tar(name, 0)?)?;
            import(node, "moving.tar")?;
            let digest = layout.digest().to_string();
            let leads_there = || Ok(node.containerd().ctr(["images", "ls", &format!("name=={name}")])?.success()?.contains(&digest));
            eventually("the name leads there", 30, leads_there)?;
            Ok(digest)
        };
        import_with("hello.wasm")?;
        eventually("CRI has it", 30, || Ok(node.image_id(name)?.is_some()))?;
        let pod = node.pod("moving").run()?;
        let container = pod.container("app", name).args(["3600"]).start()?;
        let greeting = container.exec(&["/greet.wasm"], 60)?;
        assert_eq!(greeting.stdout, "hello from run-wasm\n", "{greeting}");
        import_with("hello-c.wasm")?;
        let greeting = container.exec(&["/greet.wasm"], 60)?;
        assert_eq!(greeting.stdout, "hello from run-wasm\n", "its own file: {greeting}");
        pod.remove()?;
    }

    fn a_copy_by_another_name_does_not_hide_the_name_that_a_rule_is_about(node) {
        require_signatures(node)?;
        let image = files("hello-c.wasm")?;
        // By the alphabet the copy comes first, and to CRI both are one image.
        let (name, copy) = (format!("{REPOSITORY}:1"), "127.0.0.1:5000/copy:1");
        fs::write(path(node, "image.tar"), image.to_tar(&name, 0)?)?;
        fs::write(path(node, "copy.tar"), index(copy, &[(&image, "linux", ARCHITECTURE)])?)?;
        for tar in ["image.tar", "copy.tar"] {
            import(node, tar)?;
        }
        eventually("CRI has both", 30, || {
            let (one, other) = (node.image_id(&name)?, node.image_id(copy)?);
            Ok(one.is_some() && one == other)
        })?;
        let said = tried(node, &name)?.err().context("an unsigned image ran")?;
        assert!(said.contains("require-signature «127.0.0.1:5000/prod/»"), "{said}");
    }
}
