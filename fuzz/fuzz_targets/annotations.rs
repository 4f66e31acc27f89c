//! Annotations: one a line, `key: value`, on a spec that has no other.
#![no_main]

use grants::{Policy, derive};
use libfuzzer_sys::fuzz_target;
use properties::{STRICT, are_consistent, is_a_sentence, spec, stays_within};
use serde_json::{Map, Value};

fuzz_target!(|text: &str| {
    let pair = |line: &str| line.split_once(": ").map(|(key, value)| (key.to_owned(), Value::from(value)));
    let annotations: Map<String, Value> = text.lines().filter_map(pair).collect();
    let spec = spec(annotations.into());
    match derive(&spec, &Policy::default()) {
        Ok(grants) => are_consistent(&grants),
        Err(error) => {
            is_a_sentence(&error);
            // By its name, or as one annotation of several that do not go together.
            let sentence = error.to_string();
            assert!(sentence.contains("annotation ") || sentence.contains("run.wasm/"), "{sentence}");
        }
    }
    stays_within(&spec, &Policy::parse(STRICT).unwrap());
});
