//! The public keys of a rule.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use grants::KeySource;
use image::Digest;
use image::signature::PublicKey;

/// The largest file with a key that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// Keys of which any may have signed.
pub struct Keys(Vec<(String, PublicKey)>);

impl Keys {
    /// Reads them; each time, so that a key that was replaced counts from then on.
    ///
    /// # Errors
    /// A sentence with the file and the cure. A rule with a broken key lets nothing run.
    pub fn read(sources: &[KeySource]) -> Result<Keys> {
        sources.iter().map(read).collect::<Result<_>>().map(Keys)
    }

    /// In an order of their own.
    pub fn fingerprints(&self) -> Vec<Digest> {
        let mut fingerprints: Vec<Digest> = self.iter().map(PublicKey::fingerprint).collect();
        fingerprints.sort();
        fingerprints
    }

    pub fn iter(&self) -> impl Iterator<Item = &PublicKey> {
        self.0.iter().map(|(_, key)| key)
    }

    /// What people know them by.
    pub fn names(&self) -> String {
        self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" or ")
    }
}

fn read(source: &KeySource) -> Result<(String, PublicKey)> {
    let (name, text) = match source {
        KeySource::File(path) => (path.display().to_string(), bytes(path)?),
        KeySource::Inline(text) => ("a key of require-signature".to_owned(), text.clone().into_bytes()),
    };
    let key = PublicKey::from_pem(&text).map_err(|why| anyhow::anyhow!("the node config: {name} {why}"))?;
    let name = match source {
        KeySource::File(_) => name,
        KeySource::Inline(_) => format!("the key {}", key.fingerprint()),
    };
    Ok((name, key))
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    read.with_context(|| {
        let path = path.display();
        format!("the key {path}, which require-signature of the node config names, cannot be read: put it there, or name another")
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_missing_or_broken_is_named() {
        let refused = |source| format!("{:#}", Keys::read(&[source]).err().unwrap());
        let missing = refused(KeySource::File("/nonexistent/team.pub".into()));
        assert!(missing.contains("/nonexistent/team.pub") && missing.contains("cannot be read"), "{missing}");
        let file = tempfile::NamedTempFile::new().unwrap();
        let broken = refused(KeySource::File(file.path().into()));
        assert!(
            broken.contains(&file.path().display().to_string()) && broken.contains("no public key"),
            "{broken}"
        );
        let inline = refused(KeySource::Inline("-----BEGIN PUBLIC KEY-----\nx".into()));
        assert!(inline.contains("require-signature") && inline.contains("no public key"), "{inline}");
    }
}
