//! What a registry has of an image: an index or manifest on the first line, and on the rest its config, as JSON.
#![no_main]

use image::config::Process;
use image::{Digest, Document, ImageConfig, manifest, media};
use libfuzzer_sys::fuzz_target;
use properties::images::{
    has_the_wasm_that_it_names, is_confirmed_alone, is_read_as_it_is_written, offers_its_own,
};
use properties::is_a_sentence;

fuzz_target!(|text: &str| {
    let (document, config) = text.split_once('\n').unwrap_or((text, ""));
    let (process, config) = (Process::parse(config.as_bytes()), ImageConfig::parse(config.as_bytes()));
    for error in [process.as_ref().err(), config.as_ref().err()].into_iter().flatten() {
        is_a_sentence(error);
    }
    let read = |media_type| manifest::parse(document.as_bytes(), media_type);
    let claims = [read(media::OCI_INDEX), read(media::OCI_MANIFEST)];
    assert!(claims.iter().any(Result::is_err), "an index to one and a manifest to another: {document}");
    for claim in &claims {
        if let Err(error) = claim {
            is_a_sentence(error);
        }
    }
    match read("") {
        Ok(read) => {
            assert!(claims.contains(&Ok(read.clone())));
            is_read_as_it_is_written(&read);
            match read {
                Document::Index(index) => {
                    assert_eq!(index.digest, Digest::of(document.as_bytes()));
                    offers_its_own(&index);
                }
                Document::Manifest(manifest) => {
                    assert_eq!(manifest.digest, Digest::of(document.as_bytes()));
                    has_the_wasm_that_it_names(&manifest);
                    if let Ok(config) = &config {
                        is_confirmed_alone(&manifest, config);
                    }
                }
            }
        }
        Err(error) => is_a_sentence(&error),
    }
});
