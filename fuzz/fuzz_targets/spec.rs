//! A whole config.json, as a bundle holds it.
#![no_main]

use grants::{Policy, derive, identity, sysctls};
use libfuzzer_sys::fuzz_target;
use oci_spec::runtime::Spec;
use properties::{STRICT, are_consistent, is_a_sentence, keeps_secrets, stays_within};

fuzz_target!(|bytes: &[u8]| {
    let Ok(spec) = serde_json::from_slice::<Spec>(bytes) else { return };
    match derive(&spec, &Policy::default()) {
        Ok(grants) => {
            are_consistent(&grants);
            keeps_secrets(&spec, &grants);
        }
        Err(error) => is_a_sentence(&error),
    }
    stays_within(&spec, &Policy::parse(STRICT).unwrap());
    // What is asked of a spec beside its grants.
    let _ = (identity::container_type(&spec), identity::network_namespace(&spec), identity::pod(&spec));
    match sysctls(&spec) {
        Ok(files) => files.iter().for_each(|(file, _)| {
            assert!(
                file.starts_with("net/") && !file.split('/').any(|part| matches!(part, "" | "." | "..")),
                "{file}"
            );
        }),
        Err(error) => is_a_sentence(&error),
    }
});
