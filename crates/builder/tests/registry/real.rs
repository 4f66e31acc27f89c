//! The life of an image with a registry that behaves.

use std::collections::BTreeSet;
use std::fs;

use builder::registry::{Attachment, Event, How, Platforms, Reference, Source, Store};
use builder::sbom;
use image::{Descriptor, Digest};
use semver::VersionReq;

use crate::daemon::Daemon;
use crate::kit::{Kit, image, large_image, options, repository, sentence, write_tar};

fn present(event: &Event) -> bool {
    matches!(event, Event::Finished { how: How::Present, .. })
}

fn transferred(event: &Event) -> bool {
    matches!(event, Event::Finished { how: How::Transferred, .. })
}

#[tokio::test]
async fn what_is_pushed_is_pulled_and_written_as_a_layout_that_can_be_pushed() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let layout = large_image("hello", 300_000);
    let first: Reference = format!("{}/team/hello:1", daemon.address).parse().unwrap();
    let digest = kit.client.push(&Source::layout(layout.clone()), &first, &[]).await.unwrap();
    assert_eq!(digest, layout.digest());
    let pulled = kit.client.pull(&first, Platforms::Best, &kit.store).await.unwrap();
    assert_eq!((pulled.root.digest, pulled.image.digest), (digest, digest));
    assert_eq!(pulled.manifest.layers.len(), 2);
    for (digest, bytes) in layout.blobs() {
        assert_eq!(fs::read(kit.store.path(digest)).unwrap(), bytes);
    }
    assert_eq!(kit.cached().len(), 4);
    let (tar, folder) = (kit.path("x.tar"), kit.path("layout"));
    kit.store.to_tar(&tar, &first, &pulled.image, &pulled.content).unwrap();
    kit.store.to_folder(&folder, &first, &pulled.image, &pulled.content).unwrap();
    for (path, tag) in [(tar, "from-tar"), (folder, "from-folder")] {
        let source = Source::open(&path, None).unwrap();
        let reference = repository(&daemon.address, "team/other").tagged(tag).unwrap();
        assert_eq!(kit.client.push(&source, &reference, &[]).await.unwrap(), digest);
        assert_eq!(kit.client.digest_of(&reference).await.unwrap(), Some(digest));
    }
}

#[tokio::test]
async fn what_is_there_is_neither_sent_nor_fetched_again() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let reference: Reference = format!("{}/a:1", daemon.address).parse().unwrap();
    let source = Source::layout(large_image("x", 1000));
    kit.client.push(&source, &reference, &[]).await.unwrap();
    kit.client.pull(&reference, Platforms::Best, &kit.store).await.unwrap();
    assert_eq!((kit.diary.count(transferred), kit.diary.count(present)), (6, 0));
    kit.client.push(&source, &reference, &[]).await.unwrap();
    kit.client.pull(&reference, Platforms::Best, &kit.store).await.unwrap();
    assert_eq!((kit.diary.count(transferred), kit.diary.count(present)), (6, 6));
}

#[tokio::test]
async fn a_layer_of_another_repository_is_mounted() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let source = Source::layout(large_image("x", 1000));
    let base = repository(&daemon.address, "base").tagged("1").unwrap();
    let app = repository(&daemon.address, "app").tagged("1").unwrap();
    kit.client.push(&source, &base, &[]).await.unwrap();
    kit.client.push(&source, &app, &["nowhere".into(), "base".into()]).await.unwrap();
    let mounted = |event: &Event| matches!(event, Event::Finished { how: How::Mounted, .. });
    assert_eq!((kit.diary.count(transferred), kit.diary.count(mounted)), (3, 3));
    kit.client.pull(&app, Platforms::Best, &kit.store).await.unwrap();
}

#[tokio::test]
async fn a_damaged_blob_in_the_cache_is_fetched_again() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let layout = image("x");
    let reference: Reference = format!("{}/a:1", daemon.address).parse().unwrap();
    kit.client.push(&Source::layout(layout.clone()), &reference, &[]).await.unwrap();
    let pulled = kit.client.pull(&reference, Platforms::Best, &kit.store).await.unwrap();
    let layer = &pulled.manifest.layers[0];
    let mut bytes = fs::read(kit.store.path(&layer.digest)).unwrap();
    bytes[5] ^= 1;
    fs::write(kit.store.path(&layer.digest), bytes).unwrap();
    assert!(!kit.store.holds(layer).unwrap());
    kit.client.pull(&reference, Platforms::Best, &kit.store).await.unwrap();
    assert!(kit.store.holds(layer).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_who_pull_at_once_share_a_cache() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let layout = large_image("shared", 2_000_000);
    let reference: Reference = format!("{}/a:1", daemon.address).parse().unwrap();
    kit.client.push(&Source::layout(layout.clone()), &reference, &[]).await.unwrap();
    let pulls: Vec<_> = (0..8)
        .map(|_| {
            let (reference, root) = (reference.clone(), kit.store.root().to_path_buf());
            tokio::spawn(async move {
                let (client, store) = (Kit::new().client, Store::open(root).unwrap());
                client.pull(&reference, Platforms::Best, &store).await.map(|pulled| pulled.root.digest)
            })
        })
        .collect();
    for pull in pulls {
        assert_eq!(pull.await.unwrap().unwrap(), layout.digest());
    }
    let mut expected: Vec<String> = layout.blobs().map(|(digest, _)| digest.hex()).collect();
    expected.sort();
    assert_eq!(kit.cached(), expected);
}

#[tokio::test]
async fn a_release_moves_its_tags_and_a_version_is_never_overwritten() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let math = repository(&daemon.address, "ns/math");
    let publish = async |salt: &str, version: &str| {
        let source = Source::layout(image(salt));
        kit.client.publish(&source, &math, &version.parse().unwrap(), &[]).await
    };
    let first = publish("first", "1.2.3").await.unwrap();
    assert_eq!(first.tags, ["1.2.3", "1.2", "1", "latest"]);
    assert!(!first.was_there);
    assert!(publish("first", "1.2.3").await.unwrap().was_there);
    let error = sentence(publish("second", "1.2.3").await.unwrap_err());
    assert!(
        error.contains("ns/math:1.2.3 exists") && error.contains(&image("second").digest().hex()),
        "{error}"
    );
    assert_eq!(publish("next", "1.3.0").await.unwrap().tags, ["1.3.0", "1.3", "1", "latest"]);
    assert_eq!(publish("fix", "1.2.4").await.unwrap().tags, ["1.2.4", "1.2"]);
    assert_eq!(publish("rc", "2.0.0-rc.1").await.unwrap().tags, ["2.0.0-rc.1"]);
    assert!(sentence(publish("x", "1.4.0+build").await.unwrap_err()).contains("leave out «+build»"));
    let digest = async |tag: &str| kit.client.digest_of(&math.tagged(tag).unwrap()).await.unwrap().unwrap();
    for (tag, salt) in
        [("1.2.3", "first"), ("1.2", "fix"), ("1", "next"), ("latest", "next"), ("2.0.0-rc.1", "rc")]
    {
        assert_eq!(digest(tag).await, image(salt).digest(), "{tag}");
    }
    let resolve =
        async |requirement: &str| kit.client.resolve(&math, &VersionReq::parse(requirement).unwrap()).await;
    let found = resolve("^1.2").await.unwrap();
    assert_eq!((found.version.to_string(), found.digest), ("1.3.0".into(), image("next").digest()));
    assert_eq!(resolve("~1.2").await.unwrap().version.to_string(), "1.2.4");
    let error = sentence(resolve("^2").await.unwrap_err());
    assert!(error.contains("satisfies ^2, only 2.0.0-rc.1, 1.3.0, 1.2.4, 1.2.3"), "{error}");
    assert_eq!(kit.client.tags(&math).await.unwrap().len(), 8);
    let absent = repository(&daemon.address, "ns/absent");
    let error = sentence(kit.client.resolve(&absent, &VersionReq::STAR).await.unwrap_err());
    assert!(error.contains("the repository") && error.contains("ns/absent is not in"), "{error}");
}

#[tokio::test]
async fn attachments_are_listed_by_a_registry_that_knows_of_them_and_by_one_that_does_not() {
    for daemon in [Daemon::start(), Daemon::with_referrers()] {
        attached_and_listed(&daemon).await;
    }
}

async fn attached_and_listed(daemon: &Daemon) {
    let kit = Kit::new();
    let layout = image("x");
    let hello = repository(&daemon.address, "hello");
    kit.client.push(&Source::layout(layout.clone()), &hello.tagged("1").unwrap(), &[]).await.unwrap();
    let subject: Descriptor = kit.client.manifest(&hello.tagged("1").unwrap()).await.unwrap().descriptor;
    assert!(kit.client.referrers(&hello, &subject.digest, None).await.unwrap().is_empty());
    let attachment = |kind: &str| Attachment {
        artifact_type: kind.into(),
        layers: vec![(kind.into(), kind.as_bytes().to_vec())],
        annotations: [("org.example.kind".into(), kind.into())].into(),
    };
    let sbom = kit.client.attach(&hello, &subject, attachment("application/spdx+json")).await.unwrap();
    let signature = kit.client.attach(&hello, &subject, attachment("application/x-signature")).await.unwrap();
    assert_eq!(
        kit.client.attach(&hello, &subject, attachment("application/x-signature")).await.unwrap(),
        signature
    );
    let all = kit.client.referrers(&hello, &subject.digest, None).await.unwrap();
    let digests: BTreeSet<Digest> = all.iter().map(|referrer| referrer.digest).collect();
    assert_eq!(digests, BTreeSet::from([sbom, signature]));
    let only = kit.client.referrers(&hello, &subject.digest, Some("application/spdx+json")).await.unwrap();
    assert_eq!(only.len(), 1);
    assert_eq!(
        (only[0].digest, only[0].annotations["org.example.kind"].as_str()),
        (sbom, "application/spdx+json")
    );
    let pulled = kit.client.pull(&hello.with_digest(sbom), Platforms::Best, &kit.store).await.unwrap();
    let layer = &pulled.manifest.layers[0];
    assert_eq!(kit.store.read(layer, 100).unwrap(), b"application/spdx+json");
}

#[tokio::test]
async fn an_sbom_is_attached_to_its_image() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let hello = repository(&daemon.address, "hello");
    let source = Source::layout(image("x"));
    kit.client.push(&source, &hello.tagged("1").unwrap(), &[]).await.unwrap();
    // A layout's index need not say of which type the image is.
    let untyped = Descriptor { media_type: String::new(), ..source.root().clone() };
    let document = br#"{"spdxVersion": "SPDX-2.3"}"#.to_vec();
    let attached = kit.client.attach(&hello, &untyped, sbom::attachment(document.clone())).await.unwrap();
    let found = kit.client.referrers(&hello, &untyped.digest, Some(sbom::MEDIA_TYPE)).await.unwrap();
    assert_eq!(found.iter().map(|referrer| referrer.digest).collect::<Vec<_>>(), [attached]);
    let manifest = kit.client.manifest(&hello.with_digest(attached)).await.unwrap().bytes;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["subject"]["mediaType"], image::media::OCI_MANIFEST);
    assert_eq!(manifest["layers"][0]["digest"], image::Digest::of(&document).to_string());
    assert_eq!(manifest["layers"][0]["mediaType"], "application/spdx+json");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let reference: Reference = format!("{}/team/absent:1", daemon.address).parse().unwrap();
    let error = sentence(kit.client.pull(&reference, Platforms::Best, &kit.store).await.unwrap_err());
    assert_eq!(error, format!("{reference} is not in {}", daemon.address));
}

#[tokio::test]
async fn a_damaged_layout_is_refused_before_its_blob_is_sent() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let layout = large_image("x", 100_000);
    let tar = kit.path("x.tar");
    write_tar(&tar, &layout, "localhost/x:1");
    let data = crate::kit::noise("x", 100_000);
    let mut bytes = fs::read(&tar).unwrap();
    let at = bytes.windows(64).position(|window| window == &data[..64]).unwrap();
    bytes[at + 50_000] ^= 1;
    fs::write(&tar, bytes).unwrap();
    let reference: Reference = format!("{}/a:1", daemon.address).parse().unwrap();
    let source = Source::open(&tar, None).unwrap();
    let error = sentence(kit.client.push(&source, &reference, &[]).await.unwrap_err());
    assert!(error.contains("x.tar") && error.contains(&image::Digest::of(&data).hex()), "{error}");
    assert_eq!(kit.client.digest_of(&reference).await.unwrap(), None);
}

#[tokio::test]
async fn a_layout_folder_keeps_its_other_images() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let folder = kit.path("layout");
    let team = repository(&daemon.address, "team/app");
    for (tag, salt) in [("1", "one"), ("2", "two"), ("1", "one again")] {
        let reference = team.tagged(tag).unwrap();
        kit.client.push(&Source::layout(image(salt)), &reference, &[]).await.unwrap();
        let pulled = kit.client.pull(&reference, Platforms::Best, &kit.store).await.unwrap();
        kit.store.to_folder(&folder, &reference, &pulled.image, &pulled.content).unwrap();
    }
    let error = sentence(Source::open(&folder, None).unwrap_err());
    assert!(error.contains("has 2 images: name one of 2 or ") && error.contains(" 1 or "), "{error}");
    assert_eq!(Source::open(&folder, Some("1")).unwrap().root().digest, image("one again").digest());
    assert_eq!(Source::open(&folder, Some("2")).unwrap().root().digest, image("two").digest());
    assert!(sentence(Source::open(&folder, Some("3")).unwrap_err()).contains("no image of the name «3»"));
    fs::write(kit.path("file"), "x").unwrap();
    assert!(
        kit.store.to_folder(kit.folder.path(), &team.tagged("1").unwrap(), &kit_descriptor(), &[]).is_err()
    );
}

fn kit_descriptor() -> Descriptor {
    let digest = image::Digest::of(b"");
    Descriptor { media_type: String::new(), digest, size: 0, annotations: Default::default() }
}

#[tokio::test]
async fn an_index_is_pulled_for_this_machine_or_for_all() {
    let (daemon, kit) = (Daemon::start(), Kit::new());
    let (wasm, other) = (image("wasm"), image("other"));
    let store = Store::open(kit.path("layout")).unwrap();
    for (_, bytes) in wasm.blobs().chain(other.blobs()) {
        store.write(bytes).unwrap();
    }
    let entry = |layout: &image::build::Layout, os: &str| {
        serde_json::json!({
            "mediaType": image::media::OCI_MANIFEST,
            "digest": layout.digest().to_string(),
            "size": layout.manifest_bytes().len(),
            "platform": {"os": os, "architecture": "wasm"},
        })
    };
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": image::media::OCI_INDEX,
        "manifests": [entry(&other, "plan9"), entry(&wasm, "wasip1")],
    })
    .to_string();
    let root = store.write(index.as_bytes()).unwrap();
    let root = Descriptor {
        media_type: image::media::OCI_INDEX.into(),
        digest: root,
        size: index.len() as u64,
        annotations: Default::default(),
    };
    let reference: Reference = format!("{}/a:1", daemon.address).parse().unwrap();
    store.to_folder(store.root(), &reference, &root, &[]).unwrap();
    let source = Source::open(store.root(), None).unwrap();
    assert_eq!(kit.client.push(&source, &reference, &[]).await.unwrap(), root.digest);
    let best = kit.client.pull(&reference, Platforms::Best, &kit.store).await.unwrap();
    assert_eq!((best.root.digest, best.image.digest), (root.digest, wasm.digest()));
    assert_eq!((kit.cached().len(), best.content.len()), (3, 3));
    let all = Kit::with(options());
    let every = all.client.pull(&reference, Platforms::All, &all.store).await.unwrap();
    assert_eq!((every.image.digest, every.content.len()), (wasm.digest(), all.cached().len()));
    assert!(all.store.holds(&root).unwrap());
}
