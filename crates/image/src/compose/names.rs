//! Names of interfaces, and which of their versions fit (component model, "Import and Export Definitions").

use wac_graph::types::are_semver_compatible;

use crate::error::tame;

/// The name without its version.
pub fn unversioned(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// Whether both are versions of one interface, compatible or not.
pub fn same_interface(a: &str, b: &str) -> bool {
    unversioned(a) == unversioned(b)
}

/// The export that serves `import`: of that very name, else of the highest compatible version.
pub fn best<'a>(import: &str, exports: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    exports
        .filter(|export| are_semver_compatible(import, export))
        .max_by(|a, b| (*a == import).cmp(&(*b == import)).then_with(|| version(a).cmp(&version(b))))
}

/// What `wanted` names, with its version or, where only one version is there, without.
pub fn find<'a>(wanted: &str, names: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    if let Some(exact) = names.clone().find(|name| *name == wanted) {
        return Some(exact);
    }
    let mut versions = names.filter(|name| unversioned(name) == wanted);
    match (versions.next(), versions.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

fn version(name: &str) -> Option<semver::Version> {
    semver::Version::parse(name.split_once('@')?.1).ok()
}

/// `a, b, c` of at most eight, for a sentence.
pub fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 8;
    let mut shown: Vec<String> = names.take(MOST + 1).map(|name| tame(name, 100)).collect();
    if shown.len() > MOST {
        shown.truncate(MOST);
        shown.push("…".into());
    }
    if shown.is_empty() { "nothing".into() } else { shown.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_version_serves_before_the_highest_compatible_one() {
        let exports = ["a:b/c@0.2.0", "a:b/c@0.2.9", "a:b/c@0.2.10", "a:b/c@0.3.0", "x"];
        let best = |import| best(import, exports.into_iter());
        assert_eq!(best("a:b/c@0.2.0"), Some("a:b/c@0.2.0"));
        assert_eq!(best("a:b/c@0.2.1"), Some("a:b/c@0.2.10"));
        assert_eq!(best("a:b/c@0.4.0"), None);
        assert_eq!(best("a:b/c"), None);
        assert_eq!(best("x"), Some("x"));
    }

    #[test]
    fn a_name_without_version_means_the_only_version() {
        assert_eq!(find("a:b/c", ["a:b/c@1.0.0", "d"].into_iter()), Some("a:b/c@1.0.0"));
        assert_eq!(find("a:b/c", ["a:b/c@1.0.0", "a:b/c@2.0.0"].into_iter()), None);
        assert_eq!(find("a:b/c@1.0.0", ["a:b/c@1.0.1"].into_iter()), None);
    }
}
