use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const LIMIT: u64 = 1 << 20;

fn descriptor(media_type: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(media_type.as_bytes()).to_string(), "size": size})
}

fn manifest(config: &str, layers: &[&str]) -> Manifest {
    let layers: Vec<Value> = layers.iter().map(|layer| descriptor(layer, 10)).collect();
    let document = json!({"schemaVersion": 2, "config": descriptor(config, 2), "layers": layers});
    match parse(document.to_string().as_bytes(), media::OCI_MANIFEST).unwrap() {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => panic!("it is a manifest"),
    }
}

fn index(platforms: &[(&str, &str)]) -> Index {
    let entry = |(os, architecture): &(&str, &str)| {
        let mut entry = descriptor(&format!("{os}/{architecture}"), 10);
        entry["mediaType"] = media::OCI_MANIFEST.into();
        entry["platform"] =
            json!({"os": os, "architecture": architecture, "variant": "v8", "os.version": "1"});
        entry
    };
    let document = json!({"schemaVersion": 2, "manifests": platforms.iter().map(entry).collect::<Vec<_>>()});
    match parse(document.to_string().as_bytes(), "").unwrap() {
        Document::Index(index) => index,
        Document::Manifest(_) => panic!("it is an index"),
    }
}

fn refusal(document: Value, media_type: &str) -> String {
    let bytes = document.to_string().into_bytes();
    let sentence = parse(&bytes, media_type).unwrap_err().to_string();
    assert!(sentence.contains(&Digest::of(&bytes).to_string()), "no digest in: {sentence}");
    sentence
}

#[test]
fn wasm_layers_of_an_image_are_found_among_others() {
    let image = manifest(
        media::OCI_CONFIG,
        &[media::OCI_LAYER_TAR, media::WASM, "application/vnd.wasm.content.layer.v1+wasm"],
    );
    let WasmImage::Layers(layers) = image.wasm(LIMIT).unwrap() else { panic!("no layers") };
    assert_eq!(layers, image.layers[1..]);
    assert!(image.claims_wasm());
}

#[test]
fn an_image_of_tar_layers_alone_keeps_its_wasm_in_the_rootfs() {
    let image = manifest(media::OCI_CONFIG, &[media::OCI_LAYER_TAR]);
    assert_eq!(image.wasm(LIMIT), Ok(WasmImage::None));
    assert!(!image.claims_wasm());
}

#[test]
fn an_artifact_has_exactly_one_wasm_layer() {
    let one = manifest(media::WASM_CONFIG, &[media::WASM]);
    assert_eq!(one.wasm(LIMIT), Ok(WasmImage::Artifact(one.layers[0].clone())));
    for layers in [&[][..], &[media::WASM, media::WASM], &[media::OCI_LAYER_TAR]] {
        let refused = manifest(media::WASM_CONFIG, layers);
        assert!(refused.claims_wasm());
        assert!(refused.wasm(LIMIT).unwrap_err().to_string().contains(&refused.digest.to_string()));
    }
}

#[test]
fn a_wasm_layer_above_the_limit_is_refused_with_its_digest() {
    let image = manifest(media::OCI_CONFIG, &[media::WASM]);
    let error = image.wasm(9).unwrap_err().to_string();
    assert!(error.contains(&image.layers[0].digest.to_string()) && error.contains("limit is 9"), "{error}");
}

#[test]
fn an_index_prefers_wasm_then_the_node_then_what_names_no_platform() {
    let index = index(&[
        ("windows", "amd64"),
        ("linux", "arm64"),
        ("linux", "amd64"),
        ("wasi", "wasm32"),
        ("wasip1", "wasm"),
        ("wasip2", "wasm"),
    ]);
    let of = |entry: usize| &index.entries[entry].0;
    assert_eq!(index.candidates("amd64"), [of(5), of(4), of(3), of(2)]);
    assert_eq!(index.candidates("arm64").last(), Some(&of(1)));
    assert_eq!(index.pick("amd64"), Ok(of(5)));
}

#[test]
fn an_index_for_other_platforms_says_which() {
    let index = index(&[("windows", "amd64"), ("linux", "s390x"), ("unknown", "unknown")]);
    let sentence = index.pick("amd64").unwrap_err().to_string();
    assert!(
        sentence.contains("windows/amd64, linux/s390x") && sentence.contains(&index.digest.to_string()),
        "{sentence}"
    );
}

#[test]
fn what_other_tools_leave_out_or_write_as_null_is_read() {
    let config = descriptor("", 0);
    let document =
        json!({"mediaType": null, "config": config, "layers": null, "annotations": null, "surprise": [1]});
    let Ok(Document::Manifest(manifest)) = parse(document.to_string().as_bytes(), "") else {
        panic!("refused")
    };
    assert!(manifest.layers.is_empty());
    let docker = json!({"mediaType": media::DOCKER_MANIFEST, "config": descriptor("x", 1), "layers": []});
    assert!(parse(docker.to_string().as_bytes(), media::DOCKER_MANIFEST).is_ok());
}

#[test]
fn a_document_that_is_two_things_is_refused() {
    let both = json!({"manifests": [], "layers": [], "config": descriptor("x", 1)});
    assert!(refusal(both, "").contains("an index and a manifest at once"));
    let lie = json!({"mediaType": media::OCI_INDEX, "config": descriptor("x", 1), "layers": []});
    assert!(refusal(lie.clone(), "").contains("of the other kind"));
    let twice = r#"{"layers": [], "config": null, "layers": []}"#;
    assert!(parse(twice.as_bytes(), "").is_err());
    let index = json!({"manifests": []});
    assert!(refusal(index, media::OCI_MANIFEST).contains("of the other kind"));
}

#[test]
fn a_broken_manifest_is_refused_with_its_digest() {
    refusal(json!({}), "");
    refusal(json!([]), "");
    refusal(json!("text"), media::OCI_MANIFEST);
    refusal(json!({"layers": []}), "");
    refusal(json!({"config": {"digest": "sha256:1", "size": 1}, "layers": []}), "");
    refusal(json!({"config": {"digest": Digest::of(b"").to_string(), "size": -1}, "layers": []}), "");
    refusal(json!({"config": descriptor("x", 1), "layers": [{"size": 1}]}), "");
    refusal(json!({"fsLayers": []}), "application/vnd.docker.distribution.manifest.v1+json");
}

#[test]
fn too_much_of_anything_is_refused() {
    let many = vec![descriptor("x", 1); MAX_ENTRIES + 1];
    assert!(refusal(json!({"manifests": many}), "").contains("limit is 1024"));
    assert!(refusal(json!({"config": descriptor("x", 1), "layers": many}), "").contains("limit is 1024"));
    let long = format!("{{\"x\": \"{}\"}}", "x".repeat(MAX_DOCUMENT as usize));
    assert!(matches!(parse(long.as_bytes(), ""), Err(ImageError::TooLarge { .. })));
    let deep = "[".repeat(1 << 20);
    assert!(parse(deep.as_bytes(), "").is_err());
    let config = json!({"config": descriptor("x", MAX_DOCUMENT + 1), "layers": []});
    assert!(matches!(parse(config.to_string().as_bytes(), ""), Err(ImageError::TooLarge { .. })));
}

#[test]
fn content_is_checked_by_size_and_digest() {
    let descriptor = Descriptor {
        media_type: String::new(),
        digest: Digest::of(b"abc"),
        size: 3,
        annotations: BTreeMap::new(),
    };
    assert_eq!(descriptor.verify(b"abc"), Ok(()));
    assert!(matches!(
        descriptor.verify(b"abcd"),
        Err(ImageError::SizeMismatch { expected: 3, found: 4, .. })
    ));
    assert!(matches!(descriptor.verify(b"abd"), Err(ImageError::DigestMismatch { .. })));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, media_type in "[a-z+/.]{0,12}") {
        drop(parse(&bytes, &media_type));
    }

    #[test]
    fn any_json_of_our_words_is_read_or_refused(document in hostile_document(), limit: u64) {
        match parse(document.to_string().as_bytes(), "") {
            Ok(Document::Manifest(manifest)) => drop(manifest.wasm(limit)),
            Ok(Document::Index(index)) => drop(index.pick("amd64")),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn a_damaged_manifest_never_panics(at in 0usize..200, byte: u8) {
        let mut bytes = json!({"config": descriptor("x", 1), "layers": [descriptor(media::WASM, 1)]}).to_string().into_bytes();
        bytes[at] = byte;
        drop(parse(&bytes, ""));
    }
}

/// JSON whose keys and values are those that the reader looks at, in places where they may be wrong.
fn hostile_document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::from(Digest::of(b"x").to_string())),
        Just(Value::from(media::WASM)),
        Just(Value::from(media::WASM_CONFIG)),
        Just(descriptor(media::WASM, 1)),
    ];
    let key = proptest::sample::select(vec![
        "mediaType",
        "digest",
        "size",
        "config",
        "layers",
        "manifests",
        "platform",
        "os",
        "annotations",
    ]);
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(String::from), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
