//! Pods whose images the node's policy wants signed. CRI knows images by their ids; the policy is about names.

use std::fs;

use anyhow::{Context, Result, ensure};
use image::ImageBuilder;
use testkit::{Node, Registry, command_line, eventually, guest, refusal};

const REPOSITORY: &str = "127.0.0.1:5000/prod/hello";

fn run_wasm(node: &Node, words: &[&str]) -> Result<String> {
    let output = command_line(node.nest())?.args(words).output().context("cannot run run-wasm")?;
    ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
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
        let (nest, registry) = (node.nest(), Registry::start(node.nest())?);
        let path = |name: &str| nest.folder().join(name).display().to_string();
        run_wasm(node, &["sign", "--generate-key", &path("team")])?;
        node.configure_native(&format!(
            "[[require-signature]]\nprefix = \"127.0.0.1:5000/prod/\"\nkeys = [\"{}\"]\n", path("team.pub")
        ))?;
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
        let signatures = format!("{REPOSITORY}:{}.sig", digest.replace(':', "-"));
        run_wasm(node, &["pull", &signatures, "--output", &path("signatures.tar")])?;
        node.containerd().ctr(["images", "import", "--local", "--all-platforms", "--no-unpack", &path("signatures.tar")])?.success()?;
        for asked_for in [name.as_str(), &id, &by_digest] {
            // A manager repeats for a while what it said before.
            eventually("the signed image runs", 60, || Ok(tried(node, asked_for)?.is_ok()))?;
            assert_eq!(tried(node, asked_for)?, Ok("hello from run-wasm\n".to_owned()), "{asked_for}");
        }
        registry.stop()?;
    }
}
