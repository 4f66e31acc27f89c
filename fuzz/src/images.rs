//! What holds for whatever describes an image.

use image::compose::Plan;
use image::manifest::{MAX_DOCUMENT, MAX_ENTRIES};
use image::{
    Descriptor, Document, ImageConfig, Index, Manifest, Platform, WasmImage, entry, manifest, media,
};
use serde_json::{Value, json};

use crate::is_a_sentence;

/// The most bytes of a Wasm layer here.
const LIMIT: u64 = 64 << 20;

/// What was read of a document is all of it: written and read again it is the same.
pub fn is_read_as_it_is_written(document: &Document) {
    let text = match document {
        Document::Index(index) => json!({
            "manifests": index.entries.iter().map(|(to, of)| entry_of(to, of.as_ref())).collect::<Vec<_>>(),
        }),
        Document::Manifest(manifest) => json!({
            "config": written(&manifest.config),
            "layers": manifest.layers.iter().map(written).collect::<Vec<_>>(),
            "annotations": manifest.annotations,
        }),
    };
    let mut again = manifest::parse(text.to_string().as_bytes(), "").unwrap();
    // Of another text.
    match (document, &mut again) {
        (Document::Index(first), Document::Index(again)) => again.digest = first.digest,
        (Document::Manifest(first), Document::Manifest(again)) => again.digest = first.digest,
        _ => {}
    }
    assert_eq!(&again, document);
}

/// An index offers its own entries alone, and the best of them first.
pub fn offers_its_own(index: &Index) {
    assert!(index.entries.len() <= MAX_ENTRIES);
    let candidates = index.candidates("amd64");
    let is_of_a_node = |platform: &Option<Platform>| {
        platform.as_ref().is_none_or(|platform| platform.os == "linux" || platform.os.starts_with("wasi"))
    };
    for candidate in &candidates {
        let mut entries = index.entries.iter();
        assert!(entries.any(|(of, platform)| of == *candidate && is_of_a_node(platform)), "{candidate:?}");
    }
    match index.pick("amd64") {
        Ok(best) => assert_eq!(Some(&best), candidates.first()),
        Err(error) => {
            assert!(candidates.is_empty());
            is_a_sentence(&error);
        }
    }
}

/// What a manifest calls Wasm is in it, is called so, and is within its limit.
pub fn has_the_wasm_that_it_names(manifest: &Manifest) {
    assert!(manifest.layers.len() <= MAX_ENTRIES && manifest.config.size <= MAX_DOCUMENT);
    let layers = match manifest.wasm(LIMIT) {
        Ok(WasmImage::Layers(layers)) => {
            assert!(!layers.is_empty() && !media::is_wasm_config(&manifest.config.media_type));
            layers
        }
        Ok(WasmImage::Artifact(layer)) => {
            assert!(media::is_wasm_config(&manifest.config.media_type));
            vec![layer]
        }
        Ok(WasmImage::None) => Vec::new(),
        Err(error) => return is_a_sentence(&error),
    };
    assert!(layers.is_empty() || manifest.claims_wasm());
    for layer in &layers {
        assert!(media::is_wasm_layer(&layer.media_type) && layer.size <= LIMIT, "{layer:?}");
        assert!(manifest.layers.contains(layer), "{layer:?}");
    }
    match entry::choose(&layers, "/app.wasm#run") {
        Ok(chosen) => assert!(layers.contains(chosen)),
        Err(error) => is_a_sentence(&error),
    }
}

/// A config that confirms a manifest confirms none with other layers.
pub fn is_confirmed_alone(manifest: &Manifest, config: &ImageConfig) {
    match manifest.is_confirmed_by(config) {
        Err(error) => is_a_sentence(&error),
        Ok(false) => assert!(config.layer_digests.as_ref().is_none_or(Vec::is_empty)),
        Ok(true) => {
            let others: [fn(&mut Vec<Descriptor>); 3] = [
                |layers| drop(layers.pop()),
                |layers| layers.push(layers.last().unwrap().clone()),
                |layers| layers.last_mut().unwrap().digest = image::Digest::of(b"another layer"),
            ];
            for change in others {
                let mut other = manifest.clone();
                change(&mut other.layers);
                assert!(other.is_confirmed_by(config).is_err(), "{other:?} {config:?}");
            }
        }
    }
}

/// A plan is the same where an image has brought it.
pub fn survives_its_journey(plan: &Plan) {
    let text = serde_json::to_string(plan).unwrap();
    let again: Plan = serde_json::from_str(&text).unwrap();
    assert_eq!((&again, again.digest()), (plan, plan.digest()));
}

fn written(descriptor: &Descriptor) -> Value {
    json!({
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
        "annotations": descriptor.annotations,
    })
}

fn entry_of(descriptor: &Descriptor, platform: Option<&Platform>) -> Value {
    let mut entry = written(descriptor);
    entry["platform"] = match platform {
        Some(platform) => json!({ "os": platform.os, "architecture": platform.architecture }),
        None => Value::Null,
    };
    entry
}
