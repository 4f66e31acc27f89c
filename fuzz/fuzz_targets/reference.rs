//! The name of an image, and below it the tags that a registry says it has, one a line.
#![no_main]

use builder::reference::{Reference, Repository};
use builder::versions::{best, moved_tags, sorted, versions};
use libfuzzer_sys::fuzz_target;
use properties::is_a_sentence;
use semver::{Version, VersionReq};

fuzz_target!(|text: &str| {
    let (name, tags) = text.split_once('\n').unwrap_or((text, ""));
    let tags: Vec<String> = tags.lines().map(str::to_owned).collect();
    match name.parse::<Reference>() {
        Ok(reference) => {
            // One text has one form, and no part of it can leave its place in a URL.
            assert_eq!(reference.to_string(), name);
            let repository = reference.repository();
            assert_eq!(&repository.to_string().parse::<Repository>().unwrap(), repository);
            let path = repository.path();
            assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{path}");
            assert!(!path.contains(['?', '#', '%', '\\', ':', '@']), "{path}");
            assert!(!reference.key().contains('/') && !reference.key().is_empty());
            tags.iter().for_each(|tag| is_tagged(repository, tag));
        }
        Err(error) => is_a_sentence(&error),
    }
    are_ordered(tags);
});

fn is_tagged(repository: &Repository, tag: &str) {
    match repository.tagged(tag) {
        Ok(tagged) => assert_eq!(tagged.to_string().parse::<Reference>().unwrap(), tagged),
        Err(error) => is_a_sentence(&error),
    }
}

fn are_ordered(tags: Vec<String>) {
    let once = sorted(tags.clone());
    assert_eq!(sorted(once.clone()), once);
    let (mut before, mut after) = (tags.clone(), once);
    before.sort();
    after.sort();
    assert_eq!(before, after);

    let present = versions(&tags);
    assert!(present.iter().all(|found| tags.contains(&found.tag)));
    assert!(present.is_sorted_by(|newer, older| newer.version > older.version), "{present:?}");
    for requirement in ["*", "^1.2", "=1.2.3", ">=0.1.0-rc.1"] {
        let requirement = VersionReq::parse(requirement).unwrap();
        let matching = present.iter().filter(|found| requirement.matches(&found.version));
        let newest = matching.max_by_key(|found| found.version.clone());
        assert_eq!(best(present.clone(), &requirement).as_ref(), newest);
    }
    let repository: Repository = "registry.example/a".parse().unwrap();
    for version in present.iter().map(|found| &found.version).chain([&Version::new(1, 2, 3)]) {
        for tag in moved_tags(version, &present) {
            assert!(repository.tagged(&tag).is_ok() && Version::parse(&tag).is_err(), "{tag}");
        }
    }
}
