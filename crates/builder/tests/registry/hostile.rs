//! What a hostile registry sends is refused in one sentence, and nothing of it stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use builder::registry::{Patience, Platforms, Reference};
use image::Digest;
use serde_json::json;

use crate::faults::{Reply, Request, Server};
use crate::kit::{Kit, options, sentence};

const MANIFEST: &str = image::media::OCI_MANIFEST;
const INDEX: &str = image::media::OCI_INDEX;

/// A manifest with one layer, and that layer with `size` announced in place of its own.
fn manifest(layer: &[u8], size: usize) -> Vec<u8> {
    let config = b"{}";
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": image::media::OCI_CONFIG, "digest": Digest::of(config).to_string(), "size": 2},
        "layers": [{"mediaType": image::media::WASM, "digest": Digest::of(layer).to_string(), "size": size}],
    })
    .to_string()
    .into_bytes()
}

fn document(bytes: impl Into<Vec<u8>>, media_type: &str) -> Reply {
    Reply::new(200, bytes).header("Content-Type", media_type)
}

/// A registry whose only image has `layer`, which `of_layer` answers for.
fn registry(
    layer: &[u8],
    size: usize,
    of_layer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Server {
    let (manifest, hex) = (manifest(layer, size), Digest::of(layer).hex());
    Server::start(move |request, _| match request.path.as_str() {
        path if path.contains("/manifests/") => document(manifest.clone(), MANIFEST),
        path if path.contains(&hex) => of_layer(request),
        _ => Reply::new(200, "{}"),
    })
}

fn reference(server: &Server) -> Reference {
    format!("{}/a:1", server.address).parse().unwrap()
}

/// What pulling says; nothing but the config may be in the cache then.
async fn refused(server: &Server) -> String {
    let kit = Kit::new();
    let error = kit.client.pull(&reference(server), Platforms::Best, &kit.store).await.unwrap_err();
    let config = Digest::of(b"{}").hex();
    assert!(kit.cached().iter().all(|name| *name == config), "{:?}", kit.cached());
    sentence(error)
}

#[tokio::test]
async fn another_content_than_the_digest_says() {
    let server = registry(b"good", 4, |_| Reply::new(200, "evil"));
    let error = refused(&server).await;
    assert!(error.contains(&server.address) && error.contains("sends another content"), "{error}");
    assert!(
        error.contains(&Digest::of(b"good").hex()) && error.contains(&Digest::of(b"evil").hex()),
        "{error}"
    );
    // Another attempt would bring the same.
    assert_eq!(server.count("GET", &Digest::of(b"good").hex()), 1);
}

#[tokio::test]
async fn another_length_than_the_manifest_says() {
    let error = refused(&registry(b"good", 4, |_| Reply::new(200, "good and more"))).await;
    assert!(error.contains("announces 13 bytes where the manifest says 4"), "{error}");
}

#[tokio::test]
async fn more_bytes_than_the_manifest_says_without_a_length() {
    let error =
        refused(&registry(b"good", 4, |_| Reply::new(200, vec![b'x'; 1 << 20]).announcing(None))).await;
    assert!(error.contains("sends more than the 4 bytes"), "{error}");
}

#[tokio::test]
async fn a_length_that_never_comes() {
    let server = registry(b"good", 4, |_| Reply::new(200, "go").announcing(Some(4)));
    let error = refused(&server).await;
    assert!(error.contains("lost the connection again and again"), "{error}");
    let error = refused(&registry(b"good", 4, |_| Reply::new(200, "go").announcing(None))).await;
    assert!(error.contains("2 of 4 bytes came"), "{error}");
}

#[tokio::test]
async fn a_layer_that_is_too_large_is_not_even_asked_for() {
    let server = registry(b"good", 5 << 30, |_| Reply::new(200, "good"));
    let error = refused(&server).await;
    assert!(error.contains("the limit is 4294967296"), "{error}");
    assert_eq!(server.count("GET", &Digest::of(b"good").hex()), 0);
}

#[tokio::test]
async fn a_manifest_of_more_than_4_mib() {
    for announced in [true, false] {
        let server = Server::start(move |_, _| {
            let bytes = vec![b' '; (4 << 20) + 1];
            let length = announced.then_some(bytes.len());
            document(bytes, MANIFEST).announcing(length)
        });
        let error = refused(&server).await;
        assert!(error.contains("more than 4194304 bytes"), "{error}");
    }
}

#[tokio::test]
async fn a_manifest_of_another_digest_than_was_asked_for() {
    let server = Server::start(|_, _| document(manifest(b"x", 1), MANIFEST));
    let kit = Kit::new();
    let wanted = reference(&server).repository().with_digest(Digest::of(b"wanted"));
    let error = sentence(kit.client.pull(&wanted, Platforms::Best, &kit.store).await.unwrap_err());
    assert!(error.contains(&Digest::of(b"wanted").hex()), "{error}");
    let liar = Server::start(|_, _| {
        document(manifest(b"x", 1), MANIFEST)
            .header("Docker-Content-Digest", Digest::of(b"other").to_string())
    });
    assert!(refused(&liar).await.contains(&Digest::of(b"other").hex()));
}

#[tokio::test]
async fn documents_of_no_sort() {
    for (reply, words) in [
        (document("<html>", "text/html"), "is a document of the type «text/html»"),
        (document("{", MANIFEST), "cannot be read"),
        (document(r#"{"manifests": [], "layers": []}"#, INDEX), "an index and a manifest at once"),
        (document(r#"{"manifests": []}"#, MANIFEST), "its content is of the other kind"),
        (
            document(String::from_utf8(manifest(b"x", 1)).unwrap().replace("sha256:", "sha512:"), MANIFEST),
            "no digest that is supported",
        ),
        (
            Reply::new(200, manifest(b"x", 1))
                .header("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
            "which is no manifest",
        ),
    ] {
        let server = Server::start(move |_, _| reply.clone());
        let error = refused(&server).await;
        assert!(error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn an_index_of_thousands_of_entries() {
    let entry = json!({"mediaType": MANIFEST, "digest": Digest::of(b"x").to_string(), "size": 1});
    let index = json!({"schemaVersion": 2, "manifests": vec![entry; 5000]}).to_string();
    let server = Server::start(move |_, _| document(index.clone(), INDEX));
    assert!(refused(&server).await.contains("it lists 5000 entries; the limit is 1024"));
}

#[tokio::test]
async fn indexes_within_indexes() {
    let mut chain = vec![manifest(b"x", 1)];
    for depth in 0..10 {
        let inner = chain.last().unwrap();
        let media_type = if depth == 0 { MANIFEST } else { INDEX };
        let entry =
            json!({"mediaType": media_type, "digest": Digest::of(inner).to_string(), "size": inner.len()});
        chain.push(json!({"schemaVersion": 2, "manifests": [entry]}).to_string().into_bytes());
    }
    let outermost = Digest::of(chain.last().unwrap());
    let server = Server::start(move |request, _| {
        let wanted = if request.path.ends_with(":1") || request.path.ends_with("/1") {
            outermost.to_string()
        } else {
            request.path.rsplit('/').next().unwrap().to_owned()
        };
        let at = chain.iter().position(|bytes| Digest::of(bytes).to_string() == wanted);
        match at {
            Some(0) => document(chain[0].clone(), MANIFEST),
            Some(at) => document(chain[at].clone(), INDEX),
            None => Reply::new(404, ""),
        }
    });
    assert!(refused(&server).await.contains("nested more than 3 deep"));
    assert!(server.requests().len() < 8);
}

#[tokio::test]
async fn an_index_that_lies_about_its_entry() {
    let inner = manifest(b"x", 1);
    let entry = json!({"mediaType": MANIFEST, "digest": Digest::of(&inner).to_string(), "size": 7});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let server = Server::start(move |request, _| match request.path.contains("sha256:") {
        true => document(inner.clone(), MANIFEST),
        false => document(index.clone(), INDEX),
    });
    assert!(refused(&server).await.contains("bytes where the index says 7"));
}

#[tokio::test]
async fn what_it_says_of_its_own_stays_on_one_line() {
    let server = Server::start(|_, _| {
        Reply::new(418, r#"{"errors": [{"code": "X", "message": "first\nsecond\u001b[31m"}]}"#)
    });
    let error = refused(&server).await;
    assert!(error.contains(r"answers 418") && error.contains(r"first\nsecond\u{1b}[31m"), "{error}");
}

#[tokio::test]
async fn redirects_without_end() {
    let server =
        Server::start(|request, _| Reply::new(302, "").header("Location", format!("{}x", request.path)));
    let error = refused(&server).await;
    assert!(error.contains("redirects again and again"), "{error}");
    assert!(server.requests().len() < 10);
}

#[tokio::test]
async fn a_list_of_tags_without_end() {
    let pages = Arc::new(AtomicUsize::new(0));
    let count = pages.clone();
    let server = Server::start(move |request, _| {
        let page = count.fetch_add(1, Ordering::SeqCst);
        match request.path.contains("loop") {
            true => {
                Reply::new(200, r#"{"tags": ["a"]}"#).header("Link", "</v2/loop/tags/list>; rel=\"next\"")
            }
            false => Reply::new(200, r#"{"tags": ["a"]}"#)
                .header("Link", format!("</v2/a/tags/list?last={page}>; rel=\"next\"")),
        }
    });
    let kit = Kit::new();
    for path in ["loop", "a"] {
        let repository = crate::kit::repository(&server.address, path);
        let error = sentence(kit.client.tags(&repository).await.unwrap_err());
        assert!(error.contains("does not end"), "{error}");
    }
    assert!(pages.load(Ordering::SeqCst) <= 1002);
}

#[tokio::test]
async fn tags_come_page_by_page() {
    let server = Server::start(|request, _| match request.path.contains("last=b") {
        true => Reply::new(200, r#"{"tags": ["c"]}"#),
        false => Reply::new(200, r#"{"tags": ["a", "b"]}"#)
            .header("Link", "</v2/x/tags/list?last=b&n=2>; rel=\"next\""),
    });
    let repository = crate::kit::repository(&server.address, "x");
    assert_eq!(Kit::new().client.tags(&repository).await.unwrap(), ["a", "b", "c"]);
}

#[tokio::test]
async fn an_upload_that_goes_on_nowhere() {
    let server = Server::start(|request, _| match request.method.as_str() {
        "HEAD" => Reply::new(404, ""),
        _ => Reply::new(202, ""),
    });
    let patience = Patience { attempts: 2, ..options().patience };
    let kit = Kit::with(builder::registry::Options { patience, ..options() });
    let source = builder::registry::Source::layout(crate::kit::image("x"));
    let error = sentence(kit.client.push(&source, &reference(&server), &[]).await.unwrap_err());
    assert!(error.contains("no Location"), "{error}");
    assert_eq!(server.count("PUT", "/manifests/"), 0);
}
