//! Versions as tags: what is published moves which tags, and what satisfies a requirement.

use std::cmp::Reverse;

use semver::{Version, VersionReq};

/// A tag that names an exact version: `1.2.3` or `v1.2.3`, with a pre-release perhaps. A tag cannot hold build metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    pub version: Version,
    pub tag: String,
}

/// The exact versions among the tags, newest first; of `1.2.3` and `v1.2.3` the former.
pub fn versions<S: AsRef<str>>(tags: impl IntoIterator<Item = S>) -> Vec<Tagged> {
    let mut found: Vec<Tagged> = tags
        .into_iter()
        .filter_map(|tag| {
            let tag = tag.as_ref();
            let version = Version::parse(tag.strip_prefix('v').unwrap_or(tag)).ok()?;
            Some(Tagged { version, tag: tag.into() })
        })
        .collect();
    found.sort_by(|a, b| (&b.version, &a.tag).cmp(&(&a.version, &b.tag)));
    found.dedup_by(|later, first| later.version == first.version);
    found
}

/// The newest version that satisfies the requirement. Pre-releases only where it names one of the same version, as Cargo has
/// it.
pub fn best(versions: Vec<Tagged>, requirement: &VersionReq) -> Option<Tagged> {
    versions.into_iter().find(|found| requirement.matches(&found.version))
}

/// The tags that a published `version` moves, given the versions that there are: `1.2`, `1` and `latest`, each only when it
/// is the newest release that the tag stands for, and none for a pre-release. Before 1.0 there is no `0`: what it would
/// stand for is not compatible.
pub fn moved_tags(version: &Version, present: &[Tagged]) -> Vec<String> {
    if !version.pre.is_empty() {
        return Vec::new();
    }
    let is_newest_of = |stands_for: &dyn Fn(&Version) -> bool| {
        let mut releases = present.iter().map(|tagged| &tagged.version).filter(|other| other.pre.is_empty());
        !releases.any(|other| stands_for(other) && other > version)
    };
    let (major, minor) = (version.major, version.minor);
    let mut tags = Vec::new();
    if is_newest_of(&|other| (other.major, other.minor) == (major, minor)) {
        tags.push(format!("{major}.{minor}"));
    }
    if major > 0 && is_newest_of(&|other| other.major == major) {
        tags.push(major.to_string());
    }
    if is_newest_of(&|_| true) {
        tags.push("latest".into());
    }
    tags
}

/// Tags in the order in which people look for them: the words, then the versions, newest first.
pub fn sorted(mut tags: Vec<String>) -> Vec<String> {
    // `1` and `1.2` stand before the versions that they may lead to.
    let key = |tag: &String| {
        let text = tag.strip_prefix('v').unwrap_or(tag);
        let parts: Option<Vec<u64>> = text.split('.').map(|part| part.parse().ok()).collect();
        match (Version::parse(text).ok(), parts.as_deref()) {
            (Some(version), _) => Some((version, 0)),
            (None, Some([major])) => Some((Version::new(*major, u64::MAX, u64::MAX), 1)),
            (None, Some([major, minor])) => Some((Version::new(*major, *minor, u64::MAX), 1)),
            _ => None,
        }
    };
    tags.sort_by_cached_key(|tag| {
        let key = key(tag);
        (key.is_some(), Reverse(key), tag.clone())
    });
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moved(version: &str, present: &[&str]) -> Vec<String> {
        moved_tags(&Version::parse(version).unwrap(), &versions(present))
    }

    fn resolved(requirement: &str, tags: &[&str]) -> Option<String> {
        best(versions(tags), &VersionReq::parse(requirement).unwrap()).map(|found| found.tag)
    }

    #[test]
    fn a_release_moves_the_tags_that_stand_for_it() {
        assert_eq!(moved("1.2.3", &[]), ["1.2", "1", "latest"]);
        assert_eq!(moved("1.2.3", &["1.2.2", "1.1.9", "0.9.0"]), ["1.2", "1", "latest"]);
        assert_eq!(moved("1.2.3", &["1.2.3"]), ["1.2", "1", "latest"]);
    }

    #[test]
    fn a_fix_of_an_old_release_does_not_move_what_is_newer() {
        assert_eq!(moved("1.2.4", &["1.3.0", "2.0.0"]), ["1.2"]);
        assert_eq!(moved("1.3.1", &["1.3.0", "2.0.0"]), ["1.3", "1"]);
        assert!(moved("1.2.2", &["1.2.3"]).is_empty());
    }

    #[test]
    fn a_pre_release_moves_nothing_and_holds_nothing_back() {
        assert!(moved("2.0.0-rc.1", &["1.0.0"]).is_empty());
        assert_eq!(moved("1.9.0", &["2.0.0-rc.1"]), ["1.9", "1", "latest"]);
    }

    #[test]
    fn before_1_0_there_is_no_tag_of_the_major_version() {
        assert_eq!(moved("0.3.0", &["0.2.9"]), ["0.3", "latest"]);
    }

    #[test]
    fn the_newest_version_that_satisfies_is_taken() {
        let tags = ["latest", "1", "1.2", "1.2.0", "1.10.0", "1.9.9", "2.0.0", "1.11.0-rc.1", "sha256-00"];
        assert_eq!(resolved("^1.2", &tags).as_deref(), Some("1.10.0"));
        assert_eq!(resolved("~1.9", &tags).as_deref(), Some("1.9.9"));
        assert_eq!(resolved("=1.11.0-rc.1", &tags).as_deref(), Some("1.11.0-rc.1"));
        assert_eq!(resolved("*", &tags).as_deref(), Some("2.0.0"));
        assert_eq!(resolved("^3", &tags), None);
        assert_eq!(resolved("^1", &["v1.0.0", "v1.1.0", "1.0.0"]).as_deref(), Some("v1.1.0"));
        assert_eq!(resolved("=1.0.0", &["v1.0.0", "1.0.0"]).as_deref(), Some("1.0.0"));
    }

    #[test]
    fn tags_are_listed_words_first_then_newest_first() {
        let tags = ["1.9.0", "1.10.0", "1", "latest", "2.0.0-rc.1", "edge", "1.10", "2.0.0"];
        assert_eq!(
            sorted(tags.map(String::from).to_vec()),
            ["edge", "latest", "2.0.0", "2.0.0-rc.1", "1", "1.10", "1.10.0", "1.9.0"]
        );
    }

    proptest! {
        #[test]
        fn any_tags_are_sorted_and_none_is_lost(tags: Vec<String>) {
            let mut before = tags.clone();
            let mut after = sorted(tags);
            before.sort();
            after.sort();
            prop_assert_eq!(before, after);
        }
    }
}
