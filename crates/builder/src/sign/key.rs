//! Files with keys: ECDSA on P-256, private ones as PKCS#8 or encrypted as cosign does.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::signature::PublicKey;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use super::encrypted::Encrypted;
use super::pem;
use crate::whole;

/// The largest file with a key that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// Who signs.
pub struct PrivateKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

/// A pair of keys as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub private: PathBuf,
    pub public: PathBuf,
}

impl PrivateKey {
    /// Reads a private key. `password` is asked for where it is encrypted as cosign does.
    ///
    /// # Errors
    /// A sentence with the path and the cure.
    pub fn read(path: &Path, password: impl FnOnce() -> Result<String>) -> Result<PrivateKey> {
        let text = read(path)?;
        let key = match Encrypted::parse(&text) {
            Ok(None) => PrivateKey::from_pem(&text),
            Ok(Some(encrypted)) => password()
                .and_then(|password| encrypted.open(&password))
                .and_then(|der| PrivateKey::from_der(&der)),
            Err(error) => Err(error),
        };
        key.with_context(|| format!("{} cannot be used to sign", path.display()))
    }

    fn from_pem(text: &[u8]) -> Result<PrivateKey> {
        let Ok(der) = PrivatePkcs8KeyDer::from_pem_slice(text) else { bail!(instead(text)) };
        PrivateKey::from_der(der.secret_pkcs8_der())
    }

    fn from_der(der: &[u8]) -> Result<PrivateKey> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der, &SystemRandom::new());
        let pair = pair.ok().context(
            "it is no private key of ECDSA P-256: make a pair by `run-wasm sign --generate-key PREFIX`",
        )?;
        let public = PublicKey::from_point(pair.public_key().as_ref())?;
        Ok(PrivateKey { pair, public })
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of `payload`, in base64.
    ///
    /// # Errors
    /// A sentence when the machine has no random numbers.
    pub fn sign(&self, payload: &[u8]) -> Result<String> {
        let signature = self.pair.sign(&SystemRandom::new(), payload).ok();
        let signature = signature.context("there are no random numbers to sign with")?;
        Ok(BASE64_STANDARD.encode(signature))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {:?})", self.public)
    }
}

/// Reads a public key.
///
/// # Errors
/// A sentence with the path and the cure.
pub fn public_key(path: &Path) -> Result<PublicKey> {
    let text = read(path)?;
    PublicKey::from_pem(&text).map_err(|why| anyhow::anyhow!("{} {why}", path.display()))
}

/// Makes a pair: `<prefix>.key`, which its owner alone may read, and `<prefix>.pub`. Files that are there stay.
///
/// # Errors
/// A sentence with the path. Neither file is written then.
pub fn generate(prefix: &Path) -> Result<Files> {
    let files = Files { private: with(prefix, ".key"), public: with(prefix, ".pub") };
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    let document = document.ok().context("there are no random numbers to make a key of")?;
    let private = pem::encode("PRIVATE KEY", document.as_ref());
    let key = PrivateKey::from_pem(private.as_bytes())?;
    let public = pem::encode("PUBLIC KEY", &key.public().to_der());
    write_new(&files.public, &public, 0o644)?;
    write_new(&files.private, &private, 0o600).inspect_err(|_| drop(fs::remove_file(&files.public)))?;
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let context = || format!("cannot read {}", path.display());
    let mut text = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut text)).with_context(context)?;
    if text.len() as u64 > MAX_FILE {
        bail!("{} has more than {MAX_FILE} bytes: it is no file with a key", path.display());
    }
    Ok(text)
}

/// What a file holds in place of a private key that we read.
fn instead(text: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(text);
    let has = |label: &str| text.contains(&format!("-----BEGIN {label}-----"));
    if has("ENCRYPTED PRIVATE KEY") {
        "it is encrypted: decrypt it by `openssl pkcs8 -in FILE -out PLAIN`"
    } else if has("EC PRIVATE KEY") {
        "it is no PKCS#8: convert it by `openssl pkcs8 -topk8 -nocrypt -in FILE -out PLAIN`"
    } else if has("PUBLIC KEY") {
        "it holds a public key: name the private one"
    } else {
        "it holds no private key (PEM, «PRIVATE KEY»): make a pair by `run-wasm sign --generate-key PREFIX`"
    }
}

fn with(prefix: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(prefix);
    name.push(ending);
    name.into()
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<()> {
    match whole::create(path, text.as_bytes(), mode) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} exists and is not overwritten: name another prefix", path.display())
        }
        other => other.with_context(|| format!("cannot write {}", path.display())),
    }
}

#[cfg(test)]
mod tests;
