//! Public keys: ECDSA on the curve P-256, as cosign writes them.

use std::fmt;

use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

use crate::Digest;

/// The largest file with a key that is read, in bytes.
const MAX_FILE: usize = 64 << 10;

/// How every SubjectPublicKeyInfo of an uncompressed point of P-256 begins (RFC 5480, 2; DER knows one spelling).
const HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The bytes of an uncompressed point, and the first of them.
const POINT: usize = 65;
const UNCOMPRESSED: u8 = 4;

/// Who signed.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; POINT]);

/// A file that holds no public key that can be used. It completes «FILE …».
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("holds no public key (PEM, «PUBLIC KEY»): name the .pub file that was made with the private key")]
    NoKey,

    #[error(
        "holds a public key of another kind than ECDSA P-256: make a pair by `run-wasm sign --generate-key PREFIX`"
    )]
    Kind,
}

impl PublicKey {
    /// Reads the first public key of a PEM file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_pem(text: &[u8]) -> Result<PublicKey, KeyError> {
        if text.len() > MAX_FILE {
            return Err(KeyError::NoKey);
        }
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text).map_err(|_| KeyError::NoKey)?;
        PublicKey::from_point(der.strip_prefix(&HEAD).ok_or(KeyError::Kind)?)
    }

    /// The key with this uncompressed point (SEC 1, 2.3.3).
    ///
    /// # Errors
    /// [`KeyError::Kind`] when it is none. Whether it is on the curve is found where a signature is verified.
    pub fn from_point(point: &[u8]) -> Result<PublicKey, KeyError> {
        let point: [u8; POINT] = point.try_into().map_err(|_| KeyError::Kind)?;
        if point.first() == Some(&UNCOMPRESSED) { Ok(PublicKey(point)) } else { Err(KeyError::Kind) }
    }

    /// The SubjectPublicKeyInfo (RFC 5480), as a PEM file has it.
    pub fn to_der(&self) -> Vec<u8> {
        [HEAD.as_slice(), &self.0].concat()
    }

    /// What tells one key from another.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.to_der())
    }

    /// Whether `signature` (ASN.1) is this key's of `message`.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}
