//! A node's config.toml.
#![no_main]

use grants::Policy;
use libfuzzer_sys::fuzz_target;
use properties::{is_a_sentence, spec, stays_within};
use serde_json::json;

fuzz_target!(|text: &str| {
    match Policy::parse(text) {
        Ok(policy) => {
            let asks = "a.example.com:443, *.example.com, *, 10.0.0.0/8, 0.0.0.0/0, [::/0], localhost, 169.254.169.254";
            for egress in asks.split(", ").chain([asks, ""]) {
                stays_within(&spec(json!({ "run.wasm/egress": egress })), &policy);
            }
            assert!(
                !policy.modes.is_empty() && policy.limits.open_files > 0 && policy.cache.dir.is_absolute()
            );
        }
        Err(error) => {
            is_a_sentence(&error);
            assert!(error.to_string().starts_with("line "), "{error}");
        }
    }
});
