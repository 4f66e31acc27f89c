use std::io::Read;

use proptest::prelude::*;

use super::*;
use crate::{Document, ImageConfig, Manifest, WasmImage};

fn component() -> Vec<u8> {
    wat::parse_str(r#"(component (import "wasi:cli/stdout@0.2.0" (instance)) (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#).unwrap()
}

fn module() -> Vec<u8> {
    wat::parse_str(r#"(module (func (export "_start")))"#).unwrap()
}

fn manifest(layout: &Layout) -> Manifest {
    match crate::manifest::parse(layout.manifest_bytes(), media::OCI_MANIFEST).unwrap() {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => panic!("it is a manifest"),
    }
}

fn config(layout: &Layout) -> Value {
    serde_json::from_slice(layout.blob(&manifest(layout).config.digest).unwrap()).unwrap()
}

fn refusal(builder: ImageBuilder) -> String {
    builder.to_oci_tar("localhost/x:1").unwrap_err().to_string()
}

/// Path and content of each entry.
fn entries(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

#[test]
fn an_image_has_wasm_layers_and_no_rootfs() {
    let layout = ImageBuilder::new()
        .wasm("hello.wasm", component())
        .wasm("math.wasm", module())
        .cmd(["--loud"])
        .env("A", "1")
        .env("B", "2")
        .env("A", "3")
        .user("65532")
        .build()
        .unwrap();
    let WasmImage::Layers(layers) = manifest(&layout).wasm(1 << 20).unwrap() else { panic!("no layers") };
    assert_eq!(
        layers.iter().map(|layer| layer.title()).collect::<Vec<_>>(),
        [Some("hello.wasm"), Some("math.wasm")]
    );
    layers[0].verify(&component()).unwrap();
    assert_eq!(
        config(&layout),
        json!({
            "architecture": "wasm", "os": "wasip2", "created": "1970-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": []},
            "layerDigests": [layers[0].digest, layers[1].digest], "layerTitles": ["hello.wasm", "math.wasm"],
            "config": {"Entrypoint": ["/hello.wasm"], "Cmd": ["--loud"], "Env": ["B=2", "A=3"], "User": "65532"},
        })
    );
}

#[test]
fn an_image_of_core_modules_is_for_wasip1() {
    assert_eq!(config(&ImageBuilder::new().wasm("m", module()).build().unwrap())["os"], "wasip1");
}

#[test]
fn an_artifact_has_the_keys_of_both_worlds() {
    let layout = ImageBuilder::new()
        .wasm("hello.wasm", component())
        .format(Format::Artifact)
        .entrypoint(["/hello.wasm"])
        .build()
        .unwrap();
    let WasmImage::Artifact(layer) = manifest(&layout).wasm(1 << 20).unwrap() else { panic!("no artifact") };
    let config = config(&layout);
    assert_eq!(config["layerDigests"], json!([layer.digest.to_string()]));
    assert_eq!(
        config["component"],
        json!({"imports": ["wasi:cli/stdout@0.2.0"], "exports": ["wasi:cli/run@0.2.0"], "target": null})
    );
    assert_eq!((&config["os"], &config["architecture"]), (&json!("wasip2"), &json!("wasm")));
    assert_eq!(config["config"]["Entrypoint"], json!(["/hello.wasm"]));
}

#[test]
fn images_of_different_wasm_never_share_a_config() {
    let config = |name: &str, bytes: Vec<u8>| {
        let layout = ImageBuilder::new().wasm(name, bytes).entrypoint(["/x"]).build().unwrap();
        manifest(&layout).config.digest
    };
    assert_ne!(config("x", module()), config("x", wat::parse_str("(module)").unwrap()));
    assert_ne!(config("x", module()), config("y", module()));
    assert_eq!(config("x", module()), config("x", module()));
}

#[test]
fn layers_to_be_linked_travel_with_their_plan() {
    use crate::compose::{Component, Target, Wiring, compose};
    let app = wat::parse_str(
        r#"(component (import "a:b/c" (instance)) (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#,
    )
    .unwrap();
    let dep = wat::parse_str(r#"(component (instance $i) (export "a:b/c" (instance $i)))"#).unwrap();
    let components =
        [Component { name: "dep.wasm", bytes: &dep }, Component { name: "app.wasm", bytes: &app }];
    let wiring = Wiring { root: "app.wasm".into(), ..Wiring::default() };
    let composed = compose(&components, &wiring, Target::Any).unwrap();
    let image = || {
        ImageBuilder::new()
            .wasm("dep.wasm", dep.clone())
            .wasm("app.wasm", app.clone())
            .annotation("org.opencontainers.image.version", "1.0.0")
            .composition(composed.plan.clone())
    };
    let layout = image().build().unwrap();
    let image_manifest = manifest(&layout);
    assert_eq!(config(&layout)["config"]["Entrypoint"], json!(["/app.wasm"]));
    assert_eq!(image_manifest.annotations["org.opencontainers.image.version"], "1.0.0");
    let config = ImageConfig::parse(layout.blob(&image_manifest.config.digest).unwrap()).unwrap();
    assert_eq!(image_manifest.is_confirmed_by(&config), Ok(true));
    assert_eq!(config.composition.unwrap().compose(&components).unwrap(), composed.bytes);

    let other = ImageBuilder::new().wasm("dep.wasm", app.clone()).wasm("app.wasm", app.clone());
    assert!(refusal(other.composition(composed.plan.clone())).contains("dep.wasm: the content of sha256:"));
    let missing = ImageBuilder::new().wasm("app.wasm", app.clone()).composition(composed.plan.clone());
    assert!(refusal(missing).contains("has «dep.wasm» and no layer is called so"));
    assert!(refusal(image().format(Format::Artifact)).contains("needs the format image"));
}

#[test]
fn an_image_that_borrows_a_config_is_refused() {
    let layout =
        |name: &str| ImageBuilder::new().wasm("a", component()).wasm(name, module()).build().unwrap();
    let victim = layout("b");
    let config = ImageConfig::parse(victim.blob(&manifest(&victim).config.digest).unwrap()).unwrap();
    let honest = manifest(&victim);
    assert_eq!(honest.is_confirmed_by(&config), Ok(true));
    let mut replaced = honest.clone();
    replaced.layers[1].digest = Digest::of(b"evil");
    let mut added = honest.clone();
    added.layers.push(replaced.layers[1].clone());
    let swapped = Manifest { layers: honest.layers.iter().rev().cloned().collect(), ..honest.clone() };
    let renamed = Manifest { layers: manifest(&layout("c")).layers, ..honest.clone() };
    for posing in [replaced, added, swapped, renamed] {
        let sentence = posing.is_confirmed_by(&config).unwrap_err().to_string();
        assert!(sentence.contains(&honest.config.digest.to_string()), "{sentence}");
    }
    assert_eq!(honest.is_confirmed_by(&ImageConfig::default()), Ok(false));
}

#[test]
fn a_rootfs_image_holds_files_links_and_their_folders() {
    let layout = ImageBuilder::new()
        .format(Format::Rootfs)
        .architecture("arm64")
        .wasm("hello.wasm", component())
        .rootfs_file("/app/bin/x", *b"x", 0o755)
        .rootfs_node("/app/out", Node::Symlink { target: "/../etc/shadow".into() })
        .rootfs_node("/pipe", Node::Fifo)
        .build()
        .unwrap();
    let image = manifest(&layout);
    assert_eq!(image.wasm(1 << 20), Ok(WasmImage::None));
    let config = config(&layout);
    assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!("arm64")));
    assert_eq!(config["rootfs"]["diff_ids"], json!([image.layers[0].digest.to_string()]));
    let files = entries(layout.blob(&image.layers[0].digest).unwrap());
    assert_eq!(
        files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
        ["app/", "app/bin/", "app/bin/x", "app/out", "hello.wasm", "pipe"]
    );
    assert_eq!(files[4].1, component());
}

#[test]
fn the_tar_is_a_layout_whose_names_and_digests_hold() {
    let tar = ImageBuilder::new()
        .wasm("hello.wasm", component())
        .to_oci_tar("localhost:5000/ns/hello:1.0")
        .unwrap();
    let entries = entries(&tar);
    let paths: Vec<&str> = entries.iter().map(|(path, _)| path.as_str()).collect();
    assert!(paths.is_sorted() && paths.ends_with(&["index.json", "oci-layout"]), "{paths:?}");
    for (path, bytes) in entries.iter().filter(|(path, _)| path.len() > 20) {
        assert_eq!(path.strip_prefix("blobs/sha256/"), Some(Digest::of(bytes).hex().as_str()));
    }
    let index: Value = serde_json::from_slice(&entries[entries.len() - 2].1).unwrap();
    let annotations = &index["manifests"][0]["annotations"];
    assert_eq!(annotations["io.containerd.image.name"], "localhost:5000/ns/hello:1.0");
    assert_eq!(annotations["org.opencontainers.image.ref.name"], "1.0");
}

#[test]
fn a_point_in_time_is_taken_as_given() {
    let layout = ImageBuilder::new().wasm("m", module()).created(1_735_689_600).build().unwrap();
    assert_eq!(config(&layout)["created"], "2025-01-01T00:00:00Z");
    assert!(refusal(ImageBuilder::new().wasm("m", module()).created(u64::MAX)).contains("year 9999"));
}

#[test]
fn what_is_no_wasm_is_refused_by_name() {
    let with = |bytes: &[u8]| refusal(ImageBuilder::new().wasm("x.wasm", bytes));
    assert!(with(b"").contains("x.wasm is empty"));
    assert!(with(b"\x7fELF\x02\x01\x01\xc8").contains("precompiled"));
    assert!(with(&component()[..20]).contains("x.wasm: it is no valid Wasm"));
    assert!(ImageBuilder::new().layer("x.wasm", media::WASM, *b"garbage").build().is_ok());
}

#[test]
fn what_could_not_run_is_refused_with_the_cure() {
    let image = || ImageBuilder::new().wasm("m", module());
    for (builder, word) in [
        (ImageBuilder::new(), "no Wasm"),
        (image().rootfs_file("/x", "", 0o644), "format rootfs"),
        (image().user("nobody"), "numeric"),
        (image().env("A=B", "c"), "environment variable"),
        (image().wasm("m", component()), "two files are called m"),
        (image().wasm("n", module()).format(Format::Artifact), "exactly one"),
        (ImageBuilder::new().format(Format::Rootfs).rootfs_file("/../x", "", 0o644), "no path in a rootfs"),
        (
            ImageBuilder::new()
                .format(Format::Rootfs)
                .rootfs_file("/x", "", 0o644)
                .rootfs_file("/x/y", "", 0o644),
            "at once",
        ),
        (
            ImageBuilder::new()
                .format(Format::Rootfs)
                .rootfs_file("/x", "", 0o644)
                .rootfs_file("x", "", 0o644),
            "two files",
        ),
    ] {
        let sentence = refusal(builder);
        assert!(sentence.contains(word), "{sentence}");
    }
    for reference in ["", "hello", "localhost:5000/hello", "a/b:", "a b:1", "a/b@sha256:0"] {
        assert!(
            image().to_oci_tar(reference).unwrap_err().to_string().contains("no full name"),
            "{reference}"
        );
    }
}

proptest! {
    #[test]
    fn two_builds_are_equal_and_read_back_the_same(
        names in prop::collection::btree_set("[a-zé/]{1,150}", 1..4),
        env in prop::collection::vec(("[A-Z]{1,3}", any::<String>()), 0..4),
        words in prop::collection::vec(any::<String>(), 0..3),
        created in 0u64..200_000_000_000,
        rootfs: bool,
    ) {
        let builder = || {
            let mut builder = ImageBuilder::new().entrypoint(words.clone()).cmd(words.clone()).created(created);
            builder = builder.format(if rootfs { Format::Rootfs } else { Format::Image });
            for name in &names {
                builder = builder.wasm(name.clone(), component());
            }
            for (name, value) in &env {
                builder = builder.env(name, value);
            }
            builder.label("k", "v")
        };
        let (first, second) = (builder().to_oci_tar("a/b:1"), builder().to_oci_tar("a/b:1"));
        prop_assert_eq!(&first, &second);
        let Ok(layout) = builder().build() else { return Ok(()) };
        let image = manifest(&layout);
        for descriptor in image.layers.iter().chain([&image.config]) {
            descriptor.verify(layout.blob(&descriptor.digest).unwrap()).unwrap();
        }
        let parsed = ImageConfig::parse(layout.blob(&image.config.digest).unwrap()).unwrap();
        prop_assert_eq!(parsed.claims_wasm(), !rootfs);
        prop_assert_eq!(image.is_confirmed_by(&parsed), Ok(!rootfs));
        prop_assert_eq!(image.claims_wasm(), !rootfs);
        if !rootfs {
            let titles: Vec<&str> = image.layers.iter().filter_map(|layer| layer.title()).collect();
            prop_assert_eq!(titles, names.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
