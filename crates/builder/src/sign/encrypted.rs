//! Private keys that are encrypted as cosign does: a PEM section of JSON, scrypt and NaCl's secretbox (go-securesystemslib,
//! `encrypted`).

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use crypto_secretbox::XSalsa20Poly1305;
use crypto_secretbox::aead::{Aead, KeyInit};
use serde::{Deserialize, Deserializer};

use super::pem;

/// What cosign 2 and later call the section, and what earlier ones did.
const LABELS: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];

/// The most memory that a file may ask for to make a key of a password, in bytes: four times what cosign asks for.
const MAX_MEMORY: u64 = 256 << 20;

/// How often it may ask for that.
const MAX_ROUNDS: u32 = 16;

/// A private key that needs a password.
#[derive(Debug, Deserialize)]
pub struct Encrypted {
    kdf: Kdf,
    cipher: Cipher,
    #[serde(deserialize_with = "base64")]
    ciphertext: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    #[serde(deserialize_with = "base64")]
    salt: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Debug, Deserialize)]
struct Cipher {
    name: String,
    #[serde(deserialize_with = "base64")]
    nonce: Vec<u8>,
}

impl Encrypted {
    /// Reads such a file; `None` when it is another.
    ///
    /// # Errors
    /// A sentence when it is damaged.
    pub fn parse(text: &[u8]) -> Result<Option<Encrypted>> {
        let Some(json) = LABELS.iter().find_map(|label| pem::decode(label, text)) else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).context("it is damaged: take a copy of it")
    }

    /// The key, as PKCS#8.
    ///
    /// # Errors
    /// A sentence when the password is wrong, or the file asks for what no such key needs.
    pub fn open(&self, password: &str) -> Result<Vec<u8>> {
        let Encrypted { kdf, cipher, ciphertext } = self;
        let names = (kdf.name.as_str(), cipher.name.as_str());
        ensure!(
            names == ("scrypt", "nacl/secretbox"),
            "it is encrypted by «{}» and «{}», not as cosign does: import it by `cosign import-key-pair`",
            image::tame(names.0, 100),
            image::tame(names.1, 100)
        );
        let key = kdf.params.key(password, &kdf.salt)?;
        let nonce: [u8; 24] = cipher.nonce.as_slice().try_into().ok().context("its nonce is damaged")?;
        match XSalsa20Poly1305::new(&key.into()).decrypt(&nonce.into(), ciphertext.as_slice()) {
            Ok(der) => Ok(der),
            Err(_) => bail!(
                "its password is another, or the file is damaged: give the right one in COSIGN_PASSWORD"
            ),
        }
    }
}

impl Params {
    fn key(&self, password: &str, salt: &[u8]) -> Result<[u8; 32]> {
        let blocks = self.n.saturating_add(u64::from(self.p));
        let memory = blocks.saturating_mul(u64::from(self.r)).saturating_mul(128);
        let log_n = u8::try_from(self.n.trailing_zeros()).unwrap_or(u8::MAX);
        let params = Some(self)
            .filter(|_| {
                self.n.is_power_of_two()
                    && memory <= MAX_MEMORY
                    && self.r > 0
                    && (1..=MAX_ROUNDS).contains(&self.p)
            })
            .and_then(|_| scrypt::Params::new(log_n, self.r, self.p, scrypt::Params::RECOMMENDED_LEN).ok());
        let params = params.with_context(|| {
            format!(
                "it asks for scrypt with N {}, r {} and p {}, which no key needs: import it by `cosign import-key-pair`",
                self.n, self.r, self.p
            )
        })?;
        let mut key = [0; 32];
        scrypt::scrypt(password.as_bytes(), salt, &params, &mut key).ok().context("its salt is damaged")?;
        Ok(key)
    }
}

fn base64<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(input)?;
    BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by cosign 3.1.3.
    const KEY: &[u8] = include_bytes!("vectors/cosign.key");
    const PASSWORD: &str = "open sesame";

    /// The same with another text in its JSON.
    fn with(from: &str, to: &str) -> Result<Option<Encrypted>> {
        let json = String::from_utf8(pem::decode(LABELS[0], KEY).unwrap()).unwrap();
        assert!(json.contains(from), "{json}");
        Encrypted::parse(pem::encode(LABELS[0], json.replace(from, to).as_bytes()).as_bytes())
    }

    fn refused(encrypted: &Encrypted, password: &str) -> String {
        encrypted.open(password).unwrap_err().to_string()
    }

    #[test]
    fn a_key_of_cosigns_opens_by_its_password_alone() {
        let encrypted = Encrypted::parse(KEY).unwrap().unwrap();
        // PKCS#8 is a sequence that begins with the version 0.
        assert_eq!(encrypted.open(PASSWORD).unwrap()[3..6], [2, 1, 0]);
        for wrong in ["", "open sesame ", "Open sesame"] {
            assert!(refused(&encrypted, wrong).contains("COSIGN_PASSWORD"), "{wrong}");
        }
        let old = String::from_utf8(KEY.to_vec()).unwrap().replace("SIGSTORE", "COSIGN");
        assert!(Encrypted::parse(old.as_bytes()).unwrap().unwrap().open(PASSWORD).is_ok());
    }

    #[test]
    fn what_asks_for_gigabytes_or_hours_is_refused() {
        for (from, to) in [
            ("\"N\":65536", "\"N\":1073741824"),
            ("\"N\":65536", "\"N\":65535"),
            ("\"N\":65536", "\"N\":0"),
            ("\"r\":8", "\"r\":4294967295"),
            ("\"r\":8", "\"r\":0"),
            ("\"p\":1", "\"p\":17"),
        ] {
            let sentence = refused(&with(from, to).unwrap().unwrap(), PASSWORD);
            assert!(sentence.contains("which no key needs"), "{to}: {sentence}");
        }
    }

    #[test]
    fn what_is_damaged_is_refused_in_a_sentence() {
        let other = with("nacl/secretbox", "rot13").unwrap().unwrap();
        assert!(refused(&other, PASSWORD).contains("«rot13», not as cosign does"));
        assert!(with("\"salt\":\"", "\"salt\":\"%").unwrap_err().to_string().contains("it is damaged"));
        let short = with("\"nonce\":\"", "\"nonce\":\"AAAA").unwrap().unwrap();
        assert!(refused(&short, PASSWORD).contains("its nonce is damaged"));
        assert!(Encrypted::parse(pem::encode("PRIVATE KEY", b"{}").as_bytes()).unwrap().is_none());
        let label = LABELS[0];
        for cut in
            [format!("-----BEGIN {label}-----\n"), format!("-----END {label}-----\n-----BEGIN {label}-----")]
        {
            assert!(Encrypted::parse(cut.as_bytes()).unwrap().is_none());
        }
    }
}
