//! How images are named: `registry[:port]/repository[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

use image::Digest;

/// The longest name that is accepted, in bytes (distribution's own limit for a repository is 255).
const MAX_NAME: usize = 255;

/// The longest tag, in bytes (OCI Distribution Specification 1.1, "Pulling manifests").
const MAX_TAG: usize = 128;

/// A text that names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("«{text}» is no reference to an image: {why}")]
pub struct ReferenceError {
    text: String,
    why: &'static str,
}

/// A repository of a registry. No registry is the default one: a name says where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: String,
    path: String,
}

/// An image in a repository, by tag, by digest, or both (the digest decides).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    repository: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Repository {
    /// Host and port as they are written.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The name within the registry: `ns/math`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether the registry is on this machine's loopback by its name, so that plain HTTP meets no stranger.
    pub fn is_loopback(&self) -> bool {
        let port = |rest: &str| {
            rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok())
        };
        ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|host| self.registry.strip_prefix(host).is_some_and(port))
    }

    /// The image with this tag.
    ///
    /// # Errors
    /// [`ReferenceError`] when it is no tag.
    pub fn tagged(&self, tag: &str) -> Result<Reference, ReferenceError> {
        if !is_tag(tag) {
            return Err(refuse(&format!("{self}:{tag}"), TAG));
        }
        Ok(Reference { repository: self.clone(), tag: Some(tag.into()), digest: None })
    }

    /// The image or document with this digest.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { repository: self.clone(), tag: None, digest: Some(digest) }
    }

    /// The repository with another name in the same registry.
    ///
    /// # Errors
    /// [`ReferenceError`] when it is no name.
    pub fn sibling(&self, path: &str) -> Result<Repository, ReferenceError> {
        format!("{}/{path}", self.registry).parse()
    }
}

impl Reference {
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What a registry is asked for: the digest, or else the tag, or else `latest`.
    pub fn key(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".into(),
        }
    }
}

const HOST: &str = "it must begin with the registry's host, such as registry.example/ns/name:1";
const PATH: &str = "the name after the registry must be of lower-case letters, digits, and single . _ - between them, \
                    in parts separated by /";
const TAG: &str = "a tag has up to 128 letters, digits, and _ . -, and begins with none of . and -";
const DIGEST: &str = "a digest is sha256: and 64 lower-case hexadecimal digits";
const NO_TAG: &str = "a repository is named without tag and digest";

fn refuse(text: &str, why: &'static str) -> ReferenceError {
    const MOST: usize = 200;
    ReferenceError { text: image::tame(text.trim(), MOST), why }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Repository, ReferenceError> {
        let reference: Reference = text.parse()?;
        if reference.tag.is_some() || reference.digest.is_some() {
            return Err(refuse(text, NO_TAG));
        }
        Ok(reference.repository)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        let refuse = |why| refuse(text, why);
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>().map_err(|_| refuse(DIGEST))?)),
            None => (text, None),
        };
        let (registry, rest) =
            name.split_once('/').filter(|(host, _)| is_host(host)).ok_or_else(|| refuse(HOST))?;
        let (path, tag) = match rest.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(refuse(TAG));
        }
        if registry.len() + path.len() > MAX_NAME || !path.split('/').all(is_part) {
            return Err(refuse(PATH));
        }
        let repository = Repository { registry: registry.into(), path: path.into() };
        Ok(Reference { repository, tag: tag.map(String::from), digest })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// A host that cannot be mistaken for the first part of a name: with a dot or a port, or `localhost`.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
            return port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        }
        Some(_) => return false,
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(is_label)
        && port.is_none_or(is_port)
        && (host == "localhost" || host.contains('.') || port.is_some())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A part of a repository's name: words of lower-case letters and digits, with `.`, `_`, `__` or any number of `-` between.
fn is_part(part: &str) -> bool {
    let is_word_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut separator = String::new();
    let mut words = false;
    for byte in part.bytes() {
        if is_word_byte(byte) {
            if !separator.is_empty() && !is_separator(&separator) {
                return false;
            }
            separator.clear();
            words = true;
        } else if words && matches!(byte, b'.' | b'_' | b'-') {
            separator.push(char::from(byte));
        } else {
            return false;
        }
    }
    words && separator.is_empty()
}

fn is_separator(text: &str) -> bool {
    matches!(text, "." | "_" | "__") || text.bytes().all(|byte| byte == b'-')
}

fn is_tag(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    !text.is_empty() && text.len() <= MAX_TAG && !text.starts_with(['.', '-']) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Reference, ReferenceError> {
        text.parse()
    }

    #[test]
    fn a_reference_has_a_registry_a_name_and_a_tag_or_digest() {
        let digest = Digest::of(b"x");
        let all = parse(&format!("registry.example:5000/ns/my-math:1.2.3@{digest}")).unwrap();
        assert_eq!(all.repository().registry(), "registry.example:5000");
        assert_eq!(all.repository().path(), "ns/my-math");
        assert_eq!((all.tag(), all.digest()), (Some("1.2.3"), Some(digest)));
        assert_eq!(all.key(), digest.to_string());
        assert_eq!(parse("localhost/a").unwrap().key(), "latest");
        assert_eq!(parse("[::1]:5000/a__b/c--d:x").unwrap().repository().registry(), "[::1]:5000");
    }

    #[test]
    fn what_names_no_registry_is_refused_with_an_example() {
        for text in [
            "math",
            "ns/math:1",
            "",
            "/math",
            "-a.b/math",
            "a..b/math",
            "a.b:0/x",
            "a.b:x/x",
            "[::g]:1/x",
            "[1.2.3.4]/x",
        ] {
            let sentence = parse(text).unwrap_err().to_string();
            assert!(sentence.contains("registry.example/ns/name:1"), "{text}: {sentence}");
        }
    }

    #[test]
    fn names_that_walk_or_shout_are_refused() {
        for path in [
            "", "..", "a/../b", "a//b", "/a", "a/", "A", "a b", "a%2e", "a.-b", "a___b", ".a", "a.", "a?x=y",
            "a#b", "é",
        ] {
            assert!(parse(&format!("registry.example/{path}")).is_err(), "{path}");
        }
        assert!(parse(&format!("registry.example/{}", "a".repeat(300))).is_err());
        for tag in ["", ".a", "-a", "a/b", "a:b", "a b", &"a".repeat(129)] {
            assert!(parse(&format!("registry.example/a:{tag}")).is_err(), "{tag}");
        }
        assert!(parse("registry.example/a@sha512:00").is_err());
        assert!("registry.example/a:1".parse::<Repository>().is_err());
    }

    #[test]
    fn only_the_loopback_is_spoken_to_in_plain_unasked() {
        let is_loopback = |text: &str| text.parse::<Repository>().unwrap().is_loopback();
        for text in ["localhost/a", "localhost:5000/a", "127.0.0.1:1/a", "[::1]/a", "[::1]:80/a"] {
            assert!(is_loopback(text), "{text}");
        }
        for text in
            ["localhost.example/a", "127.0.0.1.example/a", "127.0.0.2:1/a", "registry.example/a", "[::2]/a"]
        {
            assert!(!is_loopback(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_in_one_line(text: String) {
            if let Err(error) = parse(&text) {
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }

        #[test]
        fn a_reference_is_written_as_it_was_read(
            text in "[a-z]{1,9}\\.example(:[1-9][0-9]{0,3})?(/[a-z0-9]{1,4}([._-][a-z0-9]{1,4})?){1,3}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,9})?"
        ) {
            prop_assert_eq!(parse(&text).unwrap().to_string(), text);
        }
    }
}
