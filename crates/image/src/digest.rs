//! Content digests: sha256 and nothing else.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::ImageError;
use crate::error::tame;

/// The sha256 of some content, written `sha256:<64 lower-case hexadecimal digits>` (OCI image spec, "Digests").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Whether `bytes` are what this digest names.
    ///
    /// # Errors
    /// [`ImageError::DigestMismatch`] when they are not.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), ImageError> {
        self.expect(Digest::of(bytes))
    }

    /// The same for content that was read piece by piece: `found` comes from a [`Hasher`].
    ///
    /// # Errors
    /// [`ImageError::DigestMismatch`] when they differ.
    pub fn expect(&self, found: Digest) -> Result<(), ImageError> {
        if found == *self { Ok(()) } else { Err(ImageError::DigestMismatch { expected: *self, found }) }
    }

    /// The 64 hexadecimal digits: the name of a file in a cache or an OCI layout.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Digest, ImageError> {
        let refuse = || ImageError::Digest(tame(text, 100));
        let hex = text.strip_prefix("sha256:").filter(|hex| hex.len() == 64).ok_or_else(refuse)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            for digit in pair {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return Err(refuse()),
                };
                *byte = *byte << 4 | value;
            }
        }
        Ok(Digest(bytes))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

impl TryFrom<String> for Digest {
    type Error = ImageError;

    fn try_from(text: String) -> Result<Digest, ImageError> {
        text.parse()
    }
}

/// Digests content piece by piece; also a [`io::Write`], so that it can end an `io::copy`.
#[derive(Clone, Default)]
pub struct Hasher {
    state: Sha256,
    size: u64,
}

impl Hasher {
    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.state.update(bytes);
        self.size += bytes.len() as u64;
    }

    /// How many bytes it has taken so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of all pieces.
    pub fn finish(self) -> Digest {
        Digest(self.state.finalize().into())
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_digest_is_written_as_other_tools_write_it() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(Digest::of(b"")));
    }

    #[test]
    fn other_algorithms_and_spellings_are_refused() {
        let good = Digest::of(b"x").to_string();
        for bad in [
            "",
            "sha256:",
            "sha256:00",
            &good.to_uppercase(),
            &good[7..],
            &format!("{good}0"),
            &good.replace("256", "512"),
        ] {
            assert!(matches!(bad.parse::<Digest>(), Err(ImageError::Digest(_))), "{bad}");
        }
        assert!(format!("sha256:{}", "é".repeat(32)).parse::<Digest>().is_err());
        assert!(
            "sha256:../../../../../../../../../../../../../../../../../../../etc/passwd"
                .parse::<Digest>()
                .is_err()
        );
    }

    #[test]
    fn replaced_content_is_refused_with_both_digests() {
        let error = Digest::of(b"good").verify(b"evil").unwrap_err().to_string();
        assert!(error.contains(&Digest::of(b"good").hex()) && error.contains(&Digest::of(b"evil").hex()));
    }

    proptest! {
        #[test]
        fn text_and_digest_are_the_same_thing(bytes: Vec<u8>) {
            let digest = Digest::of(&bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text: String) {
            drop(text.parse::<Digest>());
        }

        #[test]
        fn pieces_have_the_digest_of_the_whole(pieces: Vec<Vec<u8>>) {
            let mut hasher = Hasher::default();
            pieces.iter().for_each(|piece| hasher.update(piece));
            let whole = pieces.concat();
            prop_assert_eq!(hasher.size(), whole.len() as u64);
            prop_assert_eq!(hasher.finish(), Digest::of(&whole));
        }
    }
}
