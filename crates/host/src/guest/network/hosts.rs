//! The pod's `/etc/hosts`: what kubelet and the pod's `hostAliases` say about names.

use std::collections::HashMap;
use std::net::IpAddr;

/// Names with their addresses, in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Reads `address name...` lines; `#` begins a comment. As the C library does, what is no such line is passed over.
    pub fn parse(text: &str) -> Self {
        let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
            for name in words.filter_map(grants::canonical_name) {
                hosts.entry(name).or_default().push(address);
            }
        }
        Self(hosts)
    }

    /// The addresses of a canonical name.
    pub fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubelets_file_is_read() {
        let hosts = Hosts::parse(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n\
             10.244.0.7\tweb-0.web.default.svc.cluster.local\tweb-0\n\n\
             # Entries added by HostAliases.\n192.0.2.1\tDB.example.com\tdb # the old one\nnonsense db\n192.0.2.2 db\n",
        );
        let of = |name| {
            hosts.addresses(name).unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("web-0"), ["10.244.0.7"]);
        assert_eq!(of("db.example.com"), ["192.0.2.1"]);
        assert_eq!(of("db"), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(of("localhost"), ["127.0.0.1", "::1"]);
        assert!(hosts.addresses("old").is_none());
    }
}
