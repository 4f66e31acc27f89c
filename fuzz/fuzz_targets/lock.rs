//! A project's run.lock.toml.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use builder::project::{Lock, Project};
use libfuzzer_sys::fuzz_target;
use properties::is_a_sentence;

const PROJECT: &str = "name = \"x\"\nversion = \"1.0.0\"\n[components]\nx = \"x.wasm\"\n";

fuzz_target!(|text: &str| {
    let parse = |text: &str| Lock::parse(Path::new("run.lock.toml"), text);
    match parse(text) {
        Ok(lock) => {
            let written = lock.text().unwrap();
            assert_eq!(parse(&written).unwrap(), lock);
            assert!(lock.changes_before(&lock).is_empty() && lock.changes_in_components(&lock).is_empty());
            let project = Project::parse(Path::new("run.toml"), PROJECT).unwrap();
            let now = Lock::new(&project, BTreeMap::from([("cc".into(), "cc 1".into())])).unwrap();
            for change in lock.changes_before(&now).iter().chain(&lock.changes_in_components(&now)) {
                is_a_sentence(change);
            }
        }
        Err(error) => {
            is_a_sentence(&error);
            assert!(format!("{error:#}").contains("run.lock.toml"), "{error:#}");
        }
    }
});
