//! Wasm OCI artifacts, as the CNCF lays them out.

use image::{Digest, Format, ImageBuilder};
use serde_json::json;
use testkit::{Node, Registry, guest, refusal};

fn artifact(file: &str) -> anyhow::Result<ImageBuilder> {
    Ok(ImageBuilder::new().format(Format::Artifact).wasm(file, guest(file)?))
}

/// An artifact whose config has the keys of the CNCF's layout and no others.
fn strangers_artifact(file: &str) -> anyhow::Result<ImageBuilder> {
    let config = json!({
        "architecture": "wasm",
        "created": "2026-01-01T00:00:00Z",
        "os": "wasip2",
        "layerDigests": [Digest::of(&guest(file)?).to_string()],
        "component": {"exports": ["wasi:cli/run@0.2.0"], "imports": [], "target": null},
    });
    Ok(artifact(file)?.config(config))
}

/// Runs an image in a pod of its own, by a command where there is one; what it wrote.
fn output(node: &Node, image: &str, command: &[&str]) -> anyhow::Result<String> {
    let pod = node.pod("artifact").run()?;
    let container = pod.container("app", image).command(command.iter().copied()).start()?;
    let end = container.end()?;
    assert_eq!((end.exit_code, end.reason.as_str()), (0, "Completed"), "{end:?} {:?}", container.log()?);
    let output = container.output("stdout")?;
    pod.remove()?;
    Ok(output)
}

testkit::pod_stories! {
    fn an_artifact_runs_without_a_command(node) {
        for file in ["hello.wasm", "hello.p1.wasm"] {
            let image = node.image(file, artifact(file)?)?;
            assert_eq!(output(node, &image, &[])?, "hello from run-wasm\n", "{file}");
        }
    }

    fn every_format_can_be_pulled_from_a_registry_and_runs(node) {
        let registry = Registry::start(node.nest())?;
        let hello = guest("hello.wasm")?;
        for (name, image) in [
            ("artifact", artifact("hello.wasm")?),
            ("image", ImageBuilder::new().wasm("hello.wasm", hello.clone())),
            ("rootfs", ImageBuilder::new().format(Format::Rootfs).wasm("hello.wasm", hello)),
        ] {
            let imported = node.image(name, image)?;
            let there = registry.push(node.containerd(), &imported)?;
            testkit::eventually("CRI forgets the image", 30, || Ok(node.image_id(&imported)?.is_none() && node.image_id(&there)?.is_none()))?;
            node.pull(&there)?;
            assert_eq!(output(node, &there, &[])?, "hello from run-wasm\n", "{name}");
        }
        registry.stop()?;
    }

    fn an_artifact_of_a_stranger_needs_a_command_and_runs_by_any(node) {
        let image = node.image("stranger", strangers_artifact("hello.wasm")?)?;
        let pod = node.pod("stranger").run()?;
        let refused = refusal(pod.container("app", &image).create())?;
        assert!(refused.contains("no command specified"), "{refused}");
        pod.remove()?;
        assert_eq!(output(node, &image, &["hello"])?, "hello from run-wasm\n");
    }

    fn an_artifact_of_a_stranger_can_be_pulled(node) {
        let registry = Registry::start(node.nest())?;
        let imported = node.image("stranger", strangers_artifact("hello.wasm")?)?;
        let there = registry.push(node.containerd(), &imported)?;
        node.pull(&there)?;
        assert_eq!(output(node, &there, &["/"])?, "hello from run-wasm\n");
        registry.stop()?;
    }
}
