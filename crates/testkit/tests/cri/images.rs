//! Images, which CRI knows by the digests of their configs.

use image::ImageBuilder;
use serde_json::json;
use testkit::{Node, guest};

/// An image whose config does not name its layers, so that another may have the same.
fn anonymous(file: &str) -> anyhow::Result<ImageBuilder> {
    let config = json!({
        "architecture": "wasm",
        "config": {"Entrypoint": ["/app.wasm"]},
        "os": "wasip2",
        "rootfs": {"type": "layers", "diff_ids": []},
    });
    Ok(ImageBuilder::new().wasm("app.wasm", guest(file)?).config(config))
}

fn output(node: &Node, image: &str) -> anyhow::Result<String> {
    let pod = node.pod("one").run()?;
    let container = pod.container("app", image).start()?;
    assert_eq!(container.end()?.exit_code, 0, "{:?}", container.log()?);
    let output = container.output("stdout")?;
    pod.remove()?;
    Ok(output)
}

testkit::pod_stories! {
    fn two_images_with_one_config_are_not_mixed_up(node) {
        let rust = node.image("rust", anonymous("hello.wasm")?)?;
        let c = node.image("c", anonymous("hello-c.wasm")?)?;
        assert_eq!(node.image_id(&rust)?, node.image_id(&c)?, "to CRI they are one image");
        for _ in 0..2 {
            assert_eq!(output(node, &rust)?, "hello from run-wasm\n");
            assert_eq!(output(node, &c)?, "hello from c\n");
        }
    }

    fn an_images_process_is_the_pods_default(node) {
        let image = ImageBuilder::new().wasm("env.wasm", guest("env.wasm")?).env("FROM", "image").env("LEVEL", "info");
        let image = node.image("env", image)?;
        let pod = node.pod("env").run()?;
        let container = pod.container("app", &image).env("LEVEL", "debug").start()?;
        assert_eq!(container.end()?.exit_code, 0);
        let output = container.output("stdout")?;
        assert!(output.contains("FROM=image\n") && output.contains("LEVEL=debug\n"), "{output}");
        assert!(!output.contains(testkit::NODES_OWN), "{output}");
        pod.remove()?;
    }
}
