//! Names of images: which are the same place under another spelling, and what containerd makes of one.

use std::net::Ipv6Addr;

/// Docker's registry, which is meant where a name has no host.
const DOCKER: &str = "docker.io";

/// Where Docker keeps the images whose names are one word.
const LIBRARY: &str = "library/";

/// The ports that clients take where a name says none.
const USUAL_PORTS: [u16; 2] = [80, 443];

/// Whether a name says by itself where an image is from: its first part is a host. Others stand for what the container
/// runtime makes of them, an id among them.
pub fn names_a_registry(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(host, _)| host.contains(['.', ':']) || host.eq_ignore_ascii_case("localhost"))
}

/// The repository of a name, as containerd calls it: what is left without tag and digest. `None` where the name does not say where
/// that is.
pub fn repository(name: &str) -> Option<String> {
    let name = name.split_once('@').map_or(name, |(name, _)| name);
    let last = name.rfind('/').filter(|_| names_a_registry(name))?;
    let colon = name.get(last..)?.find(':').map_or(name.len(), |at| last + at);
    name.get(..colon).map(normal)
}

/// The name under which a container runtime keeps the image of this one: a digest stands without a tag, and who says neither
/// means `latest`. `None` where the name does not say where the image is from.
pub fn stored_name(name: &str) -> Option<String> {
    let repository = repository(name)?;
    let (tagged, digest) = name.split_once('@').map_or((name, None), |(name, digest)| (name, Some(digest)));
    Some(match digest {
        Some(digest) => format!("{repository}@{digest}"),
        None if normal(tagged) == repository => format!("{repository}:latest"),
        None => normal(tagged),
    })
}

/// A name with a host as containerd keeps it. The ports and the letters of hosts stay as they are: it asks the registry by them.
fn normal(name: &str) -> String {
    let Some((host, path)) = name.split_once('/') else { return name.to_owned() };
    let host = if host == "index.docker.io" { DOCKER } else { host };
    if host == DOCKER && !path.contains('/') {
        return format!("{host}/{LIBRARY}{path}");
    }
    format!("{host}/{path}")
}

/// What a rule's prefix may be the beginning of: the name in full, as all spell it that lead to the same place, and the short forms
/// that Docker's images have.
pub(super) fn spellings(name: &str) -> Vec<String> {
    let full = canonical(name);
    let mut spellings = Vec::new();
    if let Some(path) = full.strip_prefix(DOCKER).and_then(|path| path.strip_prefix('/')) {
        let short = path.strip_prefix(LIBRARY).unwrap_or(path);
        spellings.extend([format!("{DOCKER}/{short}"), path.to_owned(), short.to_owned()]);
    }
    spellings.push(full);
    spellings
}

/// A name in full, in small letters, with the one spelling of its host.
fn canonical(name: &str) -> String {
    if is_id(name) {
        return name.to_ascii_lowercase();
    }
    let (host, path) = match name.split_once('/') {
        // Only hosts have capitals.
        Some((first, path))
            if names_a_registry(name) || first.contains(|letter: char| letter.is_ascii_uppercase()) =>
        {
            (canonical_host(first), path.to_ascii_lowercase())
        }
        _ => (DOCKER.to_owned(), name.to_ascii_lowercase()),
    };
    normal(&format!("{host}/{path}"))
}

/// The beginning of names: what stands before its first slash, or all of it, is taken for a host.
pub(super) fn canonical_prefix(prefix: &str) -> String {
    let (host, path) = prefix.split_at(prefix.find('/').unwrap_or(prefix.len()));
    format!("{}{}", canonical_host(host), path.to_ascii_lowercase())
}

/// Container runtimes call images by the digests of their configs, too.
fn is_id(name: &str) -> bool {
    let is_hex = || name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    name.is_empty() || name.starts_with("sha256:") && !name.contains('/') || is_hex()
}

/// The one spelling of a host: in small letters, without the port that it has anyway, or with its port in as few digits as it needs.
fn canonical_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    let port = |digits: &str| digits.parse::<u16>().ok().filter(|_| !digits.starts_with('+'));
    match host.rsplit_once(':').and_then(|(name, digits)| Some((name, port(digits)?))) {
        Some((name, port)) if USUAL_PORTS.contains(&port) => address(name),
        Some((name, port)) => format!("{}:{port}", address(name)),
        None => address(&host),
    }
}

/// A host without its port: Docker has several, and an address of IPv6 can be written in many ways.
fn address(host: &str) -> String {
    if matches!(host, "index.docker.io" | "registry-1.docker.io") {
        return DOCKER.to_owned();
    }
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match inner.and_then(|address| address.parse::<Ipv6Addr>().ok()) {
        Some(address) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => format!("[{address}]"),
        },
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            assert_eq!(repository(name).as_deref(), Some("r.example:5000/a/b"), "{name}");
        }
        for name in ["", "a:1", "team/a", "sha256:98"] {
            assert_eq!(repository(name), None, "{name}");
        }
        for name in ["index.docker.io/a:1", "docker.io/a", "docker.io/library/a@sha256:98"] {
            assert_eq!(repository(name).as_deref(), Some("docker.io/library/a"), "{name}");
        }
    }

    #[test]
    fn an_image_is_kept_under_its_tag_or_its_digest() {
        for (name, stored) in [
            ("r.example/a", "r.example/a:latest"),
            ("r.example/a:1", "r.example/a:1"),
            ("R.example:0443/a:1", "R.example:0443/a:1"),
            ("r.example/a@sha256:98", "r.example/a@sha256:98"),
            ("r.example/a:1@sha256:98", "r.example/a@sha256:98"),
            ("docker.io/a", "docker.io/library/a:latest"),
            ("index.docker.io/team/a:1", "docker.io/team/a:1"),
        ] {
            assert_eq!(stored_name(name).as_deref(), Some(stored));
        }
        assert_eq!(stored_name("a"), None);
    }

    proptest! {
        #[test]
        fn a_repository_is_a_part_of_its_name(name: String) {
            if let Some(repository) = repository(&name) {
                let path = repository.rsplit('/').next().unwrap_or_default();
                prop_assert!(name.contains(path) && !repository.contains('@'));
            }
        }
    }
}
