//! An image config with a composition, which is carried out over components of ours.
#![no_main]

use std::panic;

use image::ImageConfig;
use libfuzzer_sys::fuzz_target;
use properties::images::survives_its_journey;
use properties::is_a_sentence;
use properties::parts::{components, is_what_was_planned, with_digests};

fuzz_target!(
    init: {
        // libFuzzer's would end the process for an assertion of the library that links, which is caught and becomes a
        // sentence. What nobody catches ends it all the same.
        panic::set_hook(Box::new(|panic| {
            let of_a_dependency = panic.location().is_some_and(|place| place.file().contains("/wac-"));
            if !of_a_dependency {
                eprintln!("{panic}");
            }
        }));
    },
    |text: &str| {
        let plan = match ImageConfig::parse(with_digests(text).as_bytes()) {
            Ok(config) => config.composition,
            Err(error) => return is_a_sentence(&error),
        };
        let Some(plan) = plan else { return };
        survives_its_journey(&plan);
        match plan.compose(&components()) {
            Ok(bytes) => is_what_was_planned(&plan, &bytes),
            Err(error) => is_a_sentence(&error),
        }
    }
);
