//! Which images run only when they are signed, and by whom: a part of the node's policy.

mod name;

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use self::name::{canonical_prefix, spellings};
pub use self::name::{names_a_registry, repository, stored_name};
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
        let prefix = canonical_prefix(&self.prefix);
        spellings(name).iter().any(|name| name.starts_with(&prefix))
    }
}

impl Policy {
    /// The rule for an image of this name: that with the longest prefix. `""` is an image without a name.
    pub fn signature_rule(&self, name: &str) -> Option<&SignatureRule> {
        let rules = self.require_signature.iter().filter(|rule| rule.covers(name));
        rules.max_by_key(|rule| canonical_prefix(&rule.prefix).len())
    }
}

/// Reads the rules. Two for the same images would leave open whose keys count.
pub(crate) fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SignatureRule>, D::Error> {
    let rules = Vec::<SignatureRule>::deserialize(deserializer)?;
    if let Some(rule) = rules.iter().find(|rule| rule.prefix.starts_with('[') && !rule.prefix.contains(']')) {
        return Err(D::Error::custom(format!(
            "the prefix \"{}\" ends in the middle of an address, which can be written in many ways; write all of it, as in [2001:db8::1]:5000/",
            rule.prefix.escape_debug()
        )));
    }
    let mut seen = BTreeSet::new();
    match rules.iter().find(|rule| !seen.insert(canonical_prefix(&rule.prefix))) {
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

    /// One place, as it may be spelled, and a prefix that is about it.
    #[test]
    fn no_spelling_of_a_name_escapes_its_rule() {
        for (prefix, names) in [
            (
                "docker.io/",
                "index.docker.io/team/app registry-1.docker.io/team/app Docker.IO:443/team/app docker.io:0080/team/app team/app:1 app",
            ),
            ("index.docker.io/", "docker.io/team/app registry-1.docker.io/team/app team/app"),
            ("docker.io/library/", "docker.io/app index.docker.io/app:1 app app@sha256:98"),
            ("docker.io/app", "docker.io/app docker.io/library/app:1 registry-1.docker.io/app app"),
            ("team/", "team/app docker.io/team/app index.docker.io/team/app"),
            ("app", "app app:1 docker.io/library/app"),
            ("r.example/", "r.example/a r.example:443/a R.example:0443/a r.example:00080/a"),
            ("r.example:05000/", "r.example:5000/a r.example:005000/a"),
            ("r.example:5000/", "r.example:05000/a"),
            ("r.example", "r.example:05000/a"),
            ("[2001:db8::1]/", "[2001:DB8:0:0:0:0:0:1]/a [2001:0db8::0001]:443/a [2001:db8::1]:0080/a"),
            ("[2001:0db8::1]:5000/", "[2001:db8::1]:05000/a"),
            ("203.0.113.7:5000/", "[::ffff:203.0.113.7]:5000/a [::ffff:cb00:7107]:05000/a"),
            ("localhost/", "LOCALHOST/a localhost:80/a"),
        ] {
            let policy = policy(&[prefix]);
            for name in names.split(' ') {
                assert!(prefix_for(&policy, name).is_some(), "{name} escapes {prefix}");
            }
        }
    }

    #[test]
    fn another_place_is_no_spelling_of_a_name() {
        for (prefix, names) in [
            (
                "docker.io/",
                "r.example/docker.io/a localhost/a docker.io:5000/a docker.io.example/a sha256:98",
            ),
            ("docker.io/app/", "docker.io/application docker.io/library/app"),
            ("r.example/", "r.example:5000/a app"),
            ("r.example:5000/", "r.example/a r.example:50000/a r.example:+5000/a r.example:65536/a"),
            ("[2001:db8::1]/", "[2001:db8::2]/a [2001:db8::1/a"),
        ] {
            let policy = policy(&[prefix]);
            for name in names.split(' ') {
                assert_eq!(prefix_for(&policy, name), None, "{name} and {prefix}");
            }
        }
        let id = "9".repeat(64);
        assert_eq!(prefix_for(&policy(&["docker.io/"]), &id), None, "an id is no name");
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
            ("prefix = \"[2001:db8:\"\nkeys = [\"/k.pub\"]", "write all of it"),
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
        fn no_name_escapes_the_empty_prefix(name: String) {
            prop_assert!(policy(&[""]).signature_rule(&name).is_some());
        }

        #[test]
        fn a_name_is_under_the_rule_of_its_own_beginning(name: String, at: usize) {
            let at = name.char_indices().map(|(at, _)| at).nth(at % 64).unwrap_or(name.len());
            // What stands before the first slash is a host as a whole or not at all.
            let prefix = &name[..name.find('/').map_or(0, |slash| at.max(slash + 1)).min(name.len())];
            let rule = SignatureRule { prefix: prefix.to_owned(), keys: Vec::new() };
            prop_assert!(rule.covers(&name), "{prefix:?}");
        }

        #[test]
        fn however_a_port_is_written_it_is_the_same_host(port: u16, zeros in 0usize..6) {
            let policy = policy(&[&format!("r.example:{port}/")]);
            let name = format!("R.example:{}{port}/a", "0".repeat(zeros));
            prop_assert!(policy.signature_rule(&name).is_some(), "{name}");
        }
    }
}
