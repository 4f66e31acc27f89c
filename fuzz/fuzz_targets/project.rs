//! A project's run.toml.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;

use builder::project::{Lock, Origin, Project};
use libfuzzer_sys::fuzz_target;
use properties::is_a_sentence;

fuzz_target!(|text: &str| {
    let parse = || Project::parse(Path::new("run.toml"), text);
    match parse() {
        Ok(project) => {
            assert!(project.components.contains_key(project.root()));
            for component in project.components.values() {
                let path = match &component.from {
                    Origin::Path(path) => path,
                    Origin::Build { output, .. } => output,
                    Origin::Registry { .. } => &component.dir,
                };
                assert!([path, &component.dir].iter().all(|path| Path::new(path).is_relative()), "{path}");
            }
            // It is locked, and the same text drifts from no lock of its own.
            let lock = Lock::new(&project, BTreeMap::new()).unwrap();
            let lock = Lock::parse(Path::new("run.lock.toml"), &lock.text().unwrap()).unwrap();
            let again = Lock::new(&parse().unwrap(), BTreeMap::new()).unwrap();
            assert_eq!(lock, again);
            assert!(lock.changes_before(&again).is_empty());
        }
        Err(error) => {
            is_a_sentence(&error);
            assert!(error.to_string().starts_with("run.toml:"), "{error}");
        }
    }
});
