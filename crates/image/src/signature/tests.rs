use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use super::*;

/// Made by openssl: `genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`, `dgst -sha256 -sign`.
const KEY: &[u8] = include_bytes!("vectors/openssl.pub");
const PAYLOAD: &[u8] = include_bytes!("vectors/openssl.payload");
const SIGNATURE: &str = include_str!("vectors/openssl.sig");
/// The same key's signature of «no statement».
const NO_STATEMENT: &str = include_str!("vectors/no-statement.sig");

fn image() -> Digest {
    Digest::of(b"x")
}

fn key() -> PublicKey {
    PublicKey::from_pem(KEY).unwrap()
}

struct Signer(EcdsaKeyPair);

impl Signer {
    fn new() -> Signer {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        Signer(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap())
    }

    fn key(&self) -> PublicKey {
        PublicKey::from_point(self.0.public_key().as_ref()).unwrap()
    }

    fn sign(&self, message: &[u8]) -> String {
        BASE64_STANDARD.encode(self.0.sign(&SystemRandom::new(), message).unwrap())
    }
}

#[test]
fn what_openssl_signed_is_verified() {
    let statement = verify(PAYLOAD, SIGNATURE, &key(), &image()).unwrap();
    assert_eq!(statement, Statement { image: image(), repository: "registry.example/team/hello".into() });
}

#[test]
fn a_payload_is_written_as_cosign_writes_it() {
    assert_eq!(payload(&image(), "registry.example/team/hello"), PAYLOAD);
    assert_eq!(tag(&image()), format!("sha256-{}.sig", image().hex()));
}

#[test]
fn a_signature_holds_for_its_payload_key_and_image_only() {
    let signer = Signer::new();
    let statement = payload(&image(), "registry.example/a");
    let signature = signer.sign(&statement);
    assert!(verify(&statement, &signature, &signer.key(), &image()).is_ok());
    assert_eq!(verify(&statement, &signature, &key(), &image()), Err(Fault::AnotherKey));
    let other = Digest::of(b"other");
    assert_eq!(verify(&statement, &signature, &signer.key(), &other), Err(Fault::AnotherImage(image())));
    for at in 0..statement.len() {
        let mut changed = statement.clone();
        changed[at] ^= 1;
        assert_eq!(verify(&changed, &signature, &signer.key(), &image()), Err(Fault::AnotherKey), "{at}");
    }
    for wrong in ["", "=", "%", &signature[4..], &signature.repeat(20), &BASE64_STANDARD.encode([0; 64])] {
        assert_eq!(verify(&statement, wrong, &signer.key(), &image()), Err(Fault::AnotherKey), "{wrong}");
    }
}

#[test]
fn a_signature_of_something_else_is_none_of_an_image() {
    let found = verify(b"no statement", NO_STATEMENT, &key(), &image());
    assert!(matches!(found, Err(Fault::NoStatement(_))), "{found:?}");
    let signer = Signer::new();
    let good = String::from_utf8(PAYLOAD.to_vec()).unwrap();
    for (part, other) in [
        ("cosign container image signature", "atomic container signature"),
        (r#""type""#, r#""image":{"docker-manifest-digest":"sha256:00"},"type""#),
        ("sha256:", "sha512:"),
        ("critical", "uncritical"),
    ] {
        let wrong = good.replace(part, other);
        let found = verify(wrong.as_bytes(), &signer.sign(wrong.as_bytes()), &signer.key(), &image());
        assert!(matches!(found, Err(Fault::NoStatement(_))), "{wrong}: {found:?}");
    }
    let long = format!("{good}{}", " ".repeat(MAX_PAYLOAD as usize));
    let found = verify(long.as_bytes(), &signer.sign(long.as_bytes()), &signer.key(), &image());
    assert_eq!(found, Err(Fault::AnotherKey));
}

#[test]
fn one_good_signature_among_others_is_enough_and_the_gravest_fault_is_told() {
    let (signer, other) = (Signer::new(), Digest::of(b"other"));
    let (ours, foreign) = (payload(&image(), "a.example/a"), payload(&other, "a.example/a"));
    let (good, copied) = (signer.sign(&ours), signer.sign(&foreign));
    let stranger = Signer::new().sign(&ours);
    let check = |signed: &[(&[u8], &str)]| verify_any(signed.iter().copied(), &signer.key(), &image());
    assert_eq!(check(&[]), Err(Fault::Unsigned));
    assert_eq!(check(&[(&ours, &stranger)]), Err(Fault::AnotherKey));
    let copied: (&[u8], &str) = (&foreign, &copied);
    assert_eq!(check(&[copied, (&ours, &stranger)]), Err(Fault::AnotherImage(other)));
    assert!(check(&[copied, (&ours, &stranger), (&ours, &good)]).is_ok());
}

#[test]
fn the_sentence_names_the_image_the_key_and_the_cure() {
    for (fault, word) in [
        (Fault::Unsigned, "has no signature"),
        (Fault::AnotherKey, "another key"),
        (Fault::NoStatement("x".into()), "no statement"),
        (Fault::AnotherImage(image()), &image().hex()),
    ] {
        let sentence = fault.sentence("a.example/a:1", "team.pub");
        assert!(sentence.starts_with("a.example/a:1 ") && sentence.contains("team.pub"), "{sentence}");
        assert!(sentence.contains(word) && sentence.contains("sign") && sentence.lines().count() == 1);
    }
}

#[test]
fn signatures_of_a_manifest_are_those_of_its_layers_that_have_one() {
    let layer = |kind: &str, annotations: serde_json::Value| json!({ "mediaType": kind, "digest": image().to_string(), "size": 1, "annotations": annotations });
    let manifest = json!({
        "schemaVersion": 2,
        "config": layer("application/vnd.oci.image.config.v1+json", json!(null)),
        "layers": [
            layer(MEDIA_TYPE, json!({ ANNOTATION: "one" })),
            layer(MEDIA_TYPE, json!({})),
            layer("application/wasm", json!({ ANNOTATION: "two" })),
        ],
    });
    let parsed = crate::manifest::parse(manifest.to_string().as_bytes(), "").unwrap();
    let crate::Document::Manifest(manifest) = parsed else { panic!() };
    assert_eq!(signatures(&manifest).map(|(_, text)| text).collect::<Vec<_>>(), ["one"]);
}

#[test]
fn only_public_keys_of_p256_are_taken() {
    let pem = |name: &str, der: &[u8]| {
        format!("-----BEGIN {name}-----\n{}\n-----END {name}-----\n", BASE64_STANDARD.encode(der))
    };
    let good = key().to_der();
    assert_eq!(PublicKey::from_pem(pem("PUBLIC KEY", &good).as_bytes()), Ok(key()));
    let mut other_curve = good.clone();
    other_curve[22] ^= 1;
    let mut compressed = good.clone();
    compressed[26] = 2;
    for der in [other_curve, compressed, good[..90].to_vec(), [&good[..], &[0]].concat(), vec![]] {
        assert_eq!(PublicKey::from_pem(pem("PUBLIC KEY", &der).as_bytes()), Err(KeyError::Kind));
    }
    for text in ["", "x", &pem("PRIVATE KEY", &good), &" ".repeat(1 << 20)] {
        assert_eq!(PublicKey::from_pem(text.as_bytes()), Err(KeyError::NoKey), "{text}");
    }
}

#[test]
fn a_key_that_is_not_on_the_curve_verifies_nothing() {
    let off = PublicKey::from_point(&[4; 65]).unwrap();
    assert_eq!(verify(PAYLOAD, SIGNATURE, &off, &image()), Err(Fault::AnotherKey));
}

proptest! {
    #[test]
    fn no_bytes_of_a_stranger_are_taken_for_signed(payload: Vec<u8>, signature: String, pem: Vec<u8>) {
        prop_assert!(verify(&payload, &signature, &key(), &image()).is_err());
        prop_assert!(PublicKey::from_pem(&pem).is_err());
    }
}
