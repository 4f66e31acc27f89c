//! Signatures as cosign 3 writes them by default: a Sigstore bundle (0.3) with a DSSE envelope around an in-toto statement.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use super::{Fault, MAX_PAYLOAD, MAX_SIGNATURE, PublicKey};
use crate::Digest;

/// The media type of a bundle, and the type of the artifact that holds one.
pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What an envelope holds, what that says of itself, and what it says of an image: that it is signed.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

/// Whether a bundle has a signature by `key` of `image`. Certificates and entries of logs are not looked at.
///
/// # Errors
/// The [`Fault`] that was found.
pub fn verify_bundle(bundle: &[u8], key: &PublicKey, image: &Digest) -> Result<(), Fault> {
    let envelope = serde_json::from_slice::<Bundle>(bundle).ok().map(|bundle| bundle.envelope);
    let envelope = envelope.filter(|_| bundle.len() as u64 <= MAX_PAYLOAD).ok_or(Fault::AnotherKey)?;
    let payload = BASE64_STANDARD.decode(&envelope.payload).map_err(|_| Fault::AnotherKey)?;
    let message = pre_authentication(&envelope.payload_type, &payload);
    let holds = envelope.signatures.iter().take(MAX_SIGNATURES).any(|signature| {
        let text = Some(&signature.sig).filter(|text| text.len() <= MAX_SIGNATURE);
        let bytes = text.and_then(|text| BASE64_STANDARD.decode(text).ok());
        bytes.is_some_and(|bytes| key.has_signed(&message, &bytes))
    });
    if !holds {
        return Err(Fault::AnotherKey);
    }
    let images = read(&envelope.payload_type, &payload).map_err(Fault::NoStatement)?;
    match images.first() {
        _ if images.contains(image) => Ok(()),
        Some(other) => Err(Fault::AnotherImage(*other)),
        None => Err(Fault::NoStatement("it names no image".into())),
    }
}

/// The most signatures of an envelope that are looked at.
const MAX_SIGNATURES: usize = 16;

/// What is signed of an envelope (DSSE 1.0, "PAE").
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// The images that a statement is about.
fn read(payload_type: &str, payload: &[u8]) -> Result<Vec<Digest>, String> {
    let statement: Statement = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    for (found, wanted) in [
        (payload_type, PAYLOAD_TYPE),
        (statement.kind.as_str(), STATEMENT),
        (statement.predicate_type.as_str(), SIGNED),
    ] {
        if found != wanted {
            return Err(format!("its type is «{}»", crate::tame(found, 100)));
        }
    }
    let digests = statement.subject.iter().filter_map(|subject| subject.digest.sha256.as_ref());
    Ok(digests.filter_map(|hex| format!("sha256:{hex}").parse().ok()).collect())
}

#[derive(Deserialize)]
struct Bundle {
    #[serde(rename = "dsseEnvelope")]
    envelope: Envelope,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(default)]
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    digest: Digests,
}

#[derive(Deserialize)]
struct Digests {
    sha256: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by cosign 3.1.3: `cosign sign --key`, without a transparency log.
    const MADE: &[u8] = include_bytes!("vectors/cosign-3.bundle");
    const KEY: &[u8] = include_bytes!("vectors/cosign-3.pub");
    const IMAGE: &str = "sha256:0bcc7cea7149dcc8315bc054da5e630ab91138260288fd1e43255f240e10bc92";

    fn check(bundle: &[u8], image: &str) -> Result<(), Fault> {
        verify_bundle(bundle, &PublicKey::from_pem(KEY).unwrap(), &image.parse().unwrap())
    }

    #[test]
    fn what_cosign_has_signed_holds_for_that_image_alone() {
        assert_eq!(check(MADE, IMAGE), Ok(()));
        let other = Digest::of(b"another").to_string();
        assert_eq!(check(MADE, &other), Err(Fault::AnotherImage(IMAGE.parse().unwrap())));
        let key = PublicKey::from_pem(include_bytes!("vectors/openssl.pub")).unwrap();
        assert_eq!(verify_bundle(MADE, &key, &IMAGE.parse().unwrap()), Err(Fault::AnotherKey));
    }

    #[test]
    fn what_was_changed_is_nobodys() {
        let text = String::from_utf8(MADE.to_vec()).unwrap();
        for (from, to) in [
            ("in-toto+json", "in-toto+jsom"),
            ("\"payload\":\"e", "\"payload\":\"f"),
            ("\"sig\":\"ME", "\"sig\":\"MF"),
            ("dsseEnvelope", "messageSignature"),
            ("\"signatures\":[", "\"signatures\":[],\"x\":["),
        ] {
            assert!(text.contains(from), "{from}");
            assert_eq!(check(text.replace(from, to).as_bytes(), IMAGE), Err(Fault::AnotherKey), "{from}");
        }
        assert_eq!(check(b"", IMAGE), Err(Fault::AnotherKey));
        let padded = text + &" ".repeat(MAX_PAYLOAD as usize);
        assert_eq!(check(padded.as_bytes(), IMAGE), Err(Fault::AnotherKey));
    }

    #[test]
    fn only_a_statement_that_an_image_is_signed_is_one() {
        let read = |text: &str| super::read(PAYLOAD_TYPE, text.as_bytes());
        let of = |predicate: &str, subject: &str| {
            format!(r#"{{"_type": "{STATEMENT}", "predicateType": "{predicate}", "subject": [{subject}]}}"#)
        };
        let subject = format!(r#"{{"digest": {{"sha256": "{}"}}}}"#, Digest::of(b"x").hex());
        assert_eq!(read(&of(SIGNED, &subject)), Ok(vec![Digest::of(b"x")]));
        assert!(read(&of("https://slsa.dev/provenance/v1", &subject)).unwrap_err().contains("slsa.dev"));
        assert_eq!(read(&of(SIGNED, r#"{"digest": {"sha1": "00"}}"#)), Ok(vec![]));
        assert!(super::read("text/plain", of(SIGNED, &subject).as_bytes()).is_err());
        assert!(read("{").is_err());
    }
}
