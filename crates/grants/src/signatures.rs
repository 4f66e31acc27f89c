//! Which images run only when they are signed, and by whom: a part of the node's policy.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::policy::Policy;

/// How a key that stands in the config itself begins.
const PEM: &str = "-----BEGIN ";

/// Images by the beginning of their names, and the keys of which any has to have signed them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SignatureRule {
    /// Empty: all images, those without a name included.
    pub prefix: String,
    #[serde(deserialize_with = "keys")]
    pub keys: Vec<KeySource>,
}

/// A public key of ECDSA P-256, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    File(PathBuf),
    Inline(String),
}

impl SignatureRule {
    /// Whether it says something of an image of this name.
    fn covers(&self, name: &str) -> bool {
        plain(name).starts_with(&plain(&self.prefix))
    }
}

impl Policy {
    /// The rule for an image of this name: that with the longest prefix. `""` is an image without a name.
    pub fn signature_rule(&self, name: &str) -> Option<&SignatureRule> {
        let rules = self.require_signature.iter().filter(|rule| rule.covers(name));
        rules.max_by_key(|rule| plain(&rule.prefix).len())
    }
}

/// Whether a name says by itself where an image is from: its first part is a host. Others stand for what the container
/// runtime makes of them, an id among them.
pub fn names_a_registry(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(host, _)| host.contains(['.', ':']) || host.eq_ignore_ascii_case("localhost"))
}

/// The repository of a name: what is left without tag and digest. `None` where the name does not say where that is.
pub fn repository(name: &str) -> Option<&str> {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let last = name.rfind('/').filter(|_| names_a_registry(name))?;
    let colon = name.get(last..)?.find(':').map_or(name.len(), |at| last + at);
    name.get(..colon)
}

/// The name under which a container runtime keeps the image of this one: a digest stands without a tag, and who says neither
/// means `latest`. `None` where the name does not say where the image is from.
pub fn stored_name(name: &str) -> Option<String> {
    let repository = repository(name)?;
    Some(match name.split_once('@') {
        Some((_, digest)) => format!("{repository}@{digest}"),
        None if name == repository => format!("{repository}:latest"),
        None => name.to_owned(),
    })
}

/// A name as all spell it that lead to the same place: hosts are the same in capitals, and with the port that they have anyway.
fn plain(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let (host, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    let usual = host.strip_suffix(":443").or_else(|| host.strip_suffix(":80"));
    format!("{}{rest}", usual.unwrap_or(host))
}

/// Reads the rules. Two for the same images would leave open whose keys count.
pub(crate) fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SignatureRule>, D::Error> {
    let rules = Vec::<SignatureRule>::deserialize(deserializer)?;
    let mut seen = BTreeSet::new();
    match rules.iter().find(|rule| !seen.insert(plain(&rule.prefix))) {
        Some(twice) => Err(D::Error::custom(format!(
            "two rules have the prefix \"{}\"; write the keys of both into one",
            twice.prefix.escape_debug()
        ))),
        None => Ok(rules),
    }
}

fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<KeySource>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    if texts.is_empty() {
        return Err(D::Error::custom("no key is left that could have signed; name at least one"));
    }
    texts.into_iter().map(|text| key(text).map_err(D::Error::custom)).collect()
}

fn key(text: String) -> Result<KeySource, &'static str> {
    if text.trim_start().starts_with(PEM) {
        return Ok(KeySource::Inline(text));
    }
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(KeySource::File(path))
    } else {
        Err("this is neither an absolute path nor a public key in PEM; write \"/etc/run-wasm/keys/team.pub\"")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy(prefixes: &[&str]) -> Policy {
        let rule =
            |prefix: &&str| format!("[[require-signature]]\nprefix = \"{prefix}\"\nkeys = [\"/k.pub\"]\n");
        Policy::parse(&prefixes.iter().map(rule).collect::<String>()).unwrap()
    }

    fn prefix_for(policy: &Policy, name: &str) -> Option<String> {
        policy.signature_rule(name).map(|rule| rule.prefix.clone())
    }

    #[test]
    fn without_a_rule_nothing_has_to_be_signed() {
        assert_eq!(Policy::default().signature_rule("registry.example/a:1"), None);
        assert_eq!(Policy::default().signature_rule(""), None);
    }

    #[test]
    fn the_longest_prefix_wins_in_any_order() {
        for prefixes in
            [["registry.example/prod/", "registry.example/"], ["registry.example/", "registry.example/prod/"]]
        {
            let policy = policy(&prefixes);
            let found = |name| prefix_for(&policy, name);
            assert_eq!(found("registry.example/prod/app:1").as_deref(), Some("registry.example/prod/"));
            assert_eq!(found("registry.example/test/app:1").as_deref(), Some("registry.example/"));
            assert_eq!(found("other.example/prod/app:1"), None);
            assert_eq!(found(""), None);
        }
    }

    #[test]
    fn the_empty_prefix_is_every_image_even_one_without_a_name() {
        let policy = policy(&[""]);
        for name in ["registry.example/a:1", "a", "sha256:98", ""] {
            assert_eq!(prefix_for(&policy, name).as_deref(), Some(""), "{name}");
        }
    }

    #[test]
    fn another_spelling_of_the_host_is_the_same_host() {
        for prefix in ["registry.example:443", "registry.example:80/prod", "REGISTRY.example"] {
            assert!(prefix_for(&policy(&[prefix]), "registry.example:443/prod/a").is_some(), "{prefix}");
        }
        let policy = policy(&["Registry.Example/prod/"]);
        for name in [
            "registry.example/prod/a",
            "REGISTRY.example/prod/a@sha256:98",
            "registry.example:443/prod/a",
            "registry.EXAMPLE:80/prod/a",
        ] {
            assert!(prefix_for(&policy, name).is_some(), "{name}");
        }
        assert_eq!(prefix_for(&policy, "registry.example:5000/prod/a"), None);
    }

    #[test]
    fn a_name_with_a_host_says_where_the_image_is_from() {
        for name in ["registry.example/a", "localhost/a:1", "Localhost/a", "registry:5000/a", "[::1]:5000/a"]
        {
            assert!(names_a_registry(name), "{name}");
        }
        let digest = format!("sha256:{}", "9".repeat(64));
        for name in ["a", "a:1", "team/a", "team/a@sha256:98", &digest, &"9".repeat(64), "", "/"] {
            assert!(!names_a_registry(name), "{name}");
        }
    }

    #[test]
    fn a_repository_has_neither_tag_nor_digest() {
        for name in [
            "r.example:5000/a/b",
            "r.example:5000/a/b:1",
            "r.example:5000/a/b@sha256:98",
            "r.example:5000/a/b:1@sha256:98",
        ] {
            assert_eq!(repository(name), Some("r.example:5000/a/b"), "{name}");
        }
        for name in ["", "a:1", "team/a", "sha256:98"] {
            assert_eq!(repository(name), None, "{name}");
        }
    }

    #[test]
    fn an_image_is_kept_under_its_tag_or_its_digest() {
        for (name, stored) in [
            ("r.example/a", "r.example/a:latest"),
            ("r.example/a:1", "r.example/a:1"),
            ("r.example/a@sha256:98", "r.example/a@sha256:98"),
            ("r.example/a:1@sha256:98", "r.example/a@sha256:98"),
        ] {
            assert_eq!(stored_name(name).as_deref(), Some(stored));
        }
        assert_eq!(stored_name("a"), None);
    }

    #[test]
    fn a_key_is_a_file_or_stands_there_itself() {
        let policy = Policy::parse(
            "[[require-signature]]\nprefix = \"a.example/\"\nkeys = [\"/k/a.pub\", '''\n-----BEGIN PUBLIC KEY-----\nx\n''']\n",
        );
        let keys =
            policy.unwrap().require_signature.into_iter().flat_map(|rule| rule.keys).collect::<Vec<_>>();
        assert_eq!(keys.first(), Some(&KeySource::File("/k/a.pub".into())));
        assert!(
            matches!(keys.get(1), Some(KeySource::Inline(text)) if text.contains("PUBLIC KEY")),
            "{keys:?}"
        );
    }

    #[test]
    fn a_rule_that_could_not_be_meant_is_refused_with_its_line() {
        for (text, word) in [
            ("prefix = \"a/\"\nkeys = []", "at least one"),
            ("prefix = \"a/\"\nkeys = [\"k.pub\"]", "absolute"),
            ("prefix = \"a/\"", "keys"),
            ("keys = [\"/k.pub\"]", "prefix"),
            ("prefix = \"a/\"\nkey = \"/k.pub\"", "key"),
            (
                "prefix = \"a/\"\nkeys = [\"/k\"]\n[[require-signature]]\nprefix = \"A/\"\nkeys = [\"/l\"]",
                "two rules",
            ),
        ] {
            let error = Policy::parse(&format!("[[require-signature]]\n{text}\n")).unwrap_err().to_string();
            assert!(error.contains(word) && error.starts_with("line "), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_name_escapes_the_empty_prefix_and_none_is_read_wrongly(name: String) {
            let policy = policy(&[""]);
            prop_assert!(policy.signature_rule(&name).is_some());
            if let Some(repository) = repository(&name) {
                prop_assert!(name.starts_with(repository) && !repository.contains('@'));
            }
        }
    }
}
