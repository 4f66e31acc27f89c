//! Signatures in a registry.

use std::path::Path;

use builder::registry::{Attachment, Reference, Source};
use builder::sign::{Files, PrivateKey, Signed, generate, public_key, sign, verify};
use image::signature::{ANNOTATION, BUNDLE, MEDIA_TYPE, tag};
use image::{Digest, Document, Manifest, manifest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::daemon::Daemon;
use crate::kit::{Kit, image, repository, sentence};

/// An image in a registry, and keys.
struct Scene {
    kit: Kit,
    daemon: Daemon,
    reference: Reference,
    image: Digest,
}

impl Scene {
    async fn new() -> Scene {
        let (daemon, kit) = (Daemon::start(), Kit::new());
        let reference = repository(&daemon.address, "team/hello").tagged("1").unwrap();
        let image = kit.client.push(&Source::layout(image("x")), &reference, &[]).await.unwrap();
        Scene { kit, daemon, reference, image }
    }

    fn keys(&self, name: &str) -> Files {
        let prefix = self.kit.path(name);
        if prefix.with_extension("key").exists() {
            return Files { private: prefix.with_extension("key"), public: prefix.with_extension("pub") };
        }
        generate(&prefix).unwrap()
    }

    async fn sign(&self, reference: &Reference, name: &str) -> Signed {
        let key = plain(&self.keys(name).private);
        sign(&self.kit.client, reference, &key).await.unwrap()
    }

    async fn verify(&self, reference: &Reference, name: &str) -> Result<Digest, String> {
        let key = public_key(&self.keys(name).public).unwrap();
        let found = verify(&self.kit.client, reference, &key, &format!("{name}.pub")).await;
        found.map(|verified| verified.image).map_err(sentence)
    }

    async fn signatures(&self) -> Manifest {
        let reference = self.reference.repository().tagged(&tag(&self.image)).unwrap();
        let found = self.kit.client.manifest(&reference).await.unwrap();
        match manifest::parse(&found.bytes, &found.descriptor.media_type).unwrap() {
            Document::Manifest(manifest) => manifest,
            Document::Index(_) => panic!("an index"),
        }
    }
}

/// A key that needs no password.
fn plain(path: &Path) -> PrivateKey {
    PrivateKey::read(path, || panic!("nobody asked for a password")).unwrap()
}

#[tokio::test]
async fn a_signed_image_is_verified_by_its_key_alone() {
    let scene = Scene::new().await;
    let error = scene.verify(&scene.reference, "team").await.unwrap_err();
    assert!(
        error.starts_with(&format!("{} has no signature", scene.reference)) && error.contains("team.pub"),
        "{error}"
    );
    let signed = scene.sign(&scene.reference, "team").await;
    assert_eq!((signed.image, signed.was_there), (scene.image, false));
    assert_eq!(scene.verify(&scene.reference, "team").await, Ok(scene.image));
    let by_digest = scene.reference.repository().with_digest(scene.image);
    assert_eq!(scene.verify(&by_digest, "team").await, Ok(scene.image));
    let error = scene.verify(&scene.reference, "stranger").await.unwrap_err();
    assert!(error.contains("signed by another key than stranger.pub"), "{error}");
}

#[tokio::test]
async fn another_signature_is_added_and_none_is_lost() {
    let scene = Scene::new().await;
    for (count, name) in ["one", "two", "three"].into_iter().enumerate() {
        assert!(!scene.sign(&scene.reference, name).await.was_there);
        assert!(scene.sign(&scene.reference, name).await.was_there, "{name} again");
        assert_eq!(scene.signatures().await.layers.len(), count + 1);
    }
    for name in ["one", "two", "three"] {
        assert_eq!(scene.verify(&scene.reference, name).await, Ok(scene.image), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_who_sign_at_once_each_ends_with_a_signature() {
    let scene = Scene::new().await;
    let names: Vec<String> = (0..2).map(|at| format!("signer{at}")).collect();
    let tasks: Vec<_> = names
        .iter()
        .map(|name| {
            let key = plain(&scene.keys(name).private);
            let (client, reference) = (scene.kit.client.clone(), scene.reference.clone());
            tokio::spawn(async move { sign(&client, &reference, &key).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    // Who was overwritten after the last look signs again.
    for name in &names {
        scene.sign(&scene.reference, name).await;
    }
    for name in &names {
        assert_eq!(scene.verify(&scene.reference, name).await, Ok(scene.image), "{name}");
    }
}

#[tokio::test]
async fn what_others_wrote_beside_a_signature_stays() {
    let scene = Scene::new().await;
    scene.sign(&scene.reference, "one").await;
    let tagged = scene.reference.repository().tagged(&tag(&scene.image)).unwrap();
    let found = scene.kit.client.manifest(&tagged).await.unwrap();
    let mut foreign: serde_json::Value = serde_json::from_slice(&found.bytes).unwrap();
    foreign["annotations"] = serde_json::json!({"org.example.by": "another tool"});
    foreign["layers"][0]["annotations"]["dev.sigstore.cosign/bundle"] = "{}".into();
    foreign["layers"][0]["urls"] = serde_json::json!(["https://log.example/1"]);
    put(&scene, &tagged, &foreign).await;
    scene.sign(&scene.reference, "two").await;
    let found = scene.kit.client.manifest(&tagged).await.unwrap();
    let now: serde_json::Value = serde_json::from_slice(&found.bytes).unwrap();
    assert_eq!(now["layers"][0], foreign["layers"][0]);
    assert_eq!(now["annotations"], foreign["annotations"]);
    assert_eq!(now["layers"].as_array().unwrap().len(), 2);
    assert_eq!(scene.verify(&scene.reference, "one").await, Ok(scene.image));
}

#[tokio::test]
async fn a_signature_of_another_image_is_none_of_this_one() {
    let scene = Scene::new().await;
    let other = scene.reference.repository().tagged("2").unwrap();
    let digest = scene.kit.client.push(&Source::layout(image("y")), &other, &[]).await.unwrap();
    scene.sign(&scene.reference, "team").await;
    // Whoever can write to the registry copies the signatures of one image to another.
    let from = scene.reference.repository().tagged(&tag(&scene.image)).unwrap();
    let found = scene.kit.client.manifest(&from).await.unwrap();
    let to = scene.reference.repository().tagged(&tag(&digest)).unwrap();
    put(&scene, &to, &serde_json::from_slice(&found.bytes).unwrap()).await;
    let error = scene.verify(&other, "team").await.unwrap_err();
    assert!(error.contains(&format!("of another image, {}", scene.image)), "{error}");
    scene.sign(&other, "team").await;
    assert_eq!(scene.verify(&other, "team").await, Ok(digest));
    // Or lets the tag lead to an image that nobody signed.
    let evil = scene.kit.client.push(&Source::layout(image("evil")), &scene.reference, &[]).await.unwrap();
    assert_ne!(evil, scene.image);
    assert!(scene.verify(&scene.reference, "team").await.unwrap_err().contains("has no signature"));
}

#[tokio::test]
async fn a_bundle_of_cosigns_is_found_among_the_referrers() {
    const MADE: &[u8] = include_bytes!("../../../image/src/signature/vectors/cosign-3.bundle");
    let kit = Kit::new();
    let key = kit.path("cosign-3.pub");
    std::fs::write(&key, include_bytes!("../../../image/src/signature/vectors/cosign-3.pub")).unwrap();
    let key = public_key(&key).unwrap();
    for daemon in [Daemon::start(), Daemon::with_referrers()] {
        let reference = repository(&daemon.address, "team/hello").tagged("1").unwrap();
        kit.client.push(&Source::layout(image("x")), &reference, &[]).await.unwrap();
        let subject = kit.client.manifest(&reference).await.unwrap().descriptor;
        let attach = async |bytes: &[u8]| {
            let bundle = Attachment {
                artifact_type: BUNDLE.into(),
                layers: vec![(BUNDLE.into(), bytes.to_vec())],
                annotations: Default::default(),
            };
            kit.client.attach(reference.repository(), &subject, bundle).await.unwrap();
            verify(&kit.client, &reference, &key, "cosign-3.pub").await.map_err(sentence)
        };
        assert!(attach(b"{}").await.unwrap_err().contains("by another key than cosign-3.pub"));
        // It is a good signature, of another image.
        let error = attach(MADE).await.unwrap_err();
        assert!(error.contains("that is of another image, sha256:0bcc7cea"), "{error}");
    }
}

#[tokio::test]
async fn signatures_have_the_form_that_cosign_reads() {
    let scene = Scene::new().await;
    scene.sign(&scene.reference, "one").await;
    scene.sign(&scene.reference, "two").await;
    let manifest = scene.signatures().await;
    assert_eq!(manifest.config.media_type, image::media::OCI_CONFIG);
    for layer in &manifest.layers {
        assert_eq!(layer.media_type, MEDIA_TYPE);
        assert!(layer.annotations[ANNOTATION].len() > 80);
    }
    let pulled_to = scene.reference.repository().tagged(&tag(&scene.image)).unwrap();
    let (kit, platforms) = (&scene.kit, builder::registry::Platforms::Best);
    let pulled = kit.client.pull(&pulled_to, platforms, &kit.store).await.unwrap();
    let read = |descriptor| -> serde_json::Value {
        serde_json::from_slice(&kit.store.read(descriptor, 1 << 20).unwrap()).unwrap()
    };
    let payload = read(&pulled.manifest.layers[0]);
    assert_eq!(payload["critical"]["type"], "cosign container image signature");
    assert_eq!(payload["critical"]["image"]["docker-manifest-digest"], scene.image.to_string());
    assert_eq!(
        payload["critical"]["identity"]["docker-reference"],
        format!("{}/team/hello", scene.daemon.address)
    );
    // Cosign keeps the layers that the config names.
    let named = read(&pulled.manifest.config)["rootfs"]["diff_ids"].clone();
    let layers: Vec<String> = pulled.manifest.layers.iter().map(|layer| layer.digest.to_string()).collect();
    assert_eq!(named, serde_json::json!(layers));
}

#[tokio::test]
async fn openssl_verifies_a_signature_as_it_is_in_the_registry() {
    use base64::Engine;
    let scene = Scene::new().await;
    scene.sign(&scene.reference, "team").await;
    let manifest = scene.signatures().await;
    let layer = &manifest.layers[0];
    let kit = &scene.kit;
    kit.client.blob(scene.reference.repository(), layer, &kit.store).await.unwrap();
    let signature = base64::prelude::BASE64_STANDARD.decode(&layer.annotations[ANNOTATION]).unwrap();
    std::fs::write(kit.path("sig"), signature).unwrap();
    let check = |payload: &Path| {
        let mut openssl = std::process::Command::new("openssl");
        openssl.args(["dgst", "-sha256", "-verify"]).arg(scene.keys("team").public);
        openssl.arg("-signature").arg(kit.path("sig")).arg(payload);
        openssl.output().unwrap().status.success()
    };
    assert!(check(&kit.store.path(&layer.digest)));
    assert!(!check(&kit.path("sig")));
}

#[tokio::test]
async fn what_is_not_there_cannot_be_signed() {
    let scene = Scene::new().await;
    let absent = scene.reference.repository().tagged("absent").unwrap();
    let key = plain(&scene.keys("team").private);
    let error = sentence(sign(&scene.kit.client, &absent, &key).await.unwrap_err());
    assert_eq!(error, format!("{absent} is not in {}", scene.daemon.address));
}

/// Writes a manifest as another tool would. Its blobs are there.
async fn put(scene: &Scene, reference: &Reference, manifest: &serde_json::Value) {
    let (address, path, kind) =
        (&scene.daemon.address, reference.repository().path(), image::media::OCI_MANIFEST);
    let (text, key) = (manifest.to_string(), reference.key());
    let request = format!(
        "PUT /v2/{path}/manifests/{key} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {kind}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}
