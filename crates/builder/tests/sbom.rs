//! What an image is made of, as its SBOM tells it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use async_trait::async_trait;
use builder::project::{Built, Options, Source, build};
use builder::sbom;
use image::Digest;
use semver::{Version, VersionReq};
use serde_json::Value;
use tempfile::TempDir;

const PROJECT: &str = r#"name = "calc"
version = "1.2.0"
[components]
my_app = { path = "app.wat", tools = ["true"] }
math = "registry.example/team/math@^0.1"
[graph]
root = "my_app"
[output]
tag = "registry.example/team/calc:1.2.0"
"#;

const APP: &str = r#"(component
    (import "a:math/add@0.1.0" (instance))
    (core module (@producers
        (language "Rust" "2024") (processed-by "rustc" "1.95.0 (abc 2026-01-01)") (processed-by "wit-component" "0.1") (sdk "an-sdk" "")))
    (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;

const MATH: &str = r#"(component
    (core module (@producers (language "C11" "") (processed-by "wit-component" "0.1")))
    (instance $i) (export "a:math/add@0.1.0" (instance $i)))"#;

/// One component in one registry.
struct Math;

#[async_trait]
impl Source for Math {
    async fn resolve(&self, repository: &str, _: &VersionReq) -> Result<(Version, Digest)> {
        ensure!(repository == "registry.example/team/math");
        Ok((Version::new(0, 1, 7), Digest::of(b"its manifest")))
    }

    async fn fetch(&self, _: &str, digest: &Digest) -> Result<Vec<u8>> {
        ensure!(*digest == Digest::of(b"its manifest"));
        Ok(wat::parse_str(MATH)?)
    }
}

fn built(created: u64) -> Built {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("run.toml"), PROJECT).unwrap();
    fs::write(folder.path().join("app.wat"), APP).unwrap();
    let options = Options { created, ..Options::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(build(folder.path(), &Math, &options, |_| {})).unwrap()
}

fn read(built: &Built) -> Value {
    serde_json::from_slice(&sbom::document(built).unwrap()).unwrap()
}

fn package<'a>(document: &'a Value, name: &str) -> &'a Value {
    let packages = document["packages"].as_array().unwrap();
    packages.iter().find(|package| package["name"] == name).unwrap()
}

fn relationships(document: &Value) -> BTreeSet<(&str, &str, &str)> {
    let all = document["relationships"].as_array().unwrap().iter();
    all.map(|one| {
        let text = |key: &str| one[key].as_str().unwrap();
        (text("spdxElementId"), text("relationshipType"), text("relatedSpdxElement"))
    })
    .collect()
}

#[test]
fn components_versions_digests_and_what_built_them_are_named() {
    let built = built(1_735_689_600);
    let document = read(&built);
    assert_eq!(document["creationInfo"]["created"], "2025-01-01T00:00:00Z");
    assert_eq!(document["name"], "registry.example/team/calc:1.2.0");
    let checksum = |name: &str| package(&document, name)["checksums"][0]["checksumValue"].clone();
    assert_eq!(checksum("calc"), built.digest().hex());
    assert_eq!(checksum("math"), Digest::of(&wat::parse_str(MATH).unwrap()).hex());
    assert_eq!(package(&document, "math")["versionInfo"], "0.1.7");
    assert_eq!(package(&document, "my_app")["versionInfo"], "1.2.0");
    assert_eq!(package(&document, "my_app")["comment"], "languages: Rust 2024");
    assert_eq!(package(&document, "rustc")["versionInfo"], "1.95.0 (abc 2026-01-01)");
    let purl = package(&document, "math")["externalRefs"][0]["referenceLocator"].as_str().unwrap();
    let manifest = Digest::of(b"its manifest").hex();
    assert_eq!(
        purl,
        format!("pkg:oci/math@sha256%3A{manifest}?repository_url=registry.example/team/math&tag=0.1.7")
    );
    let id = |name: &str| package(&document, name)["SPDXID"].as_str().unwrap();
    let all = relationships(&document);
    for expected in [
        ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"),
        ("SPDXRef-Image", "CONTAINS", "SPDXRef-Component-my.app"),
        ("SPDXRef-Image", "CONTAINS", "SPDXRef-Component-math"),
        (id("rustc"), "BUILD_TOOL_OF", "SPDXRef-Component-my.app"),
        (id("wit-component"), "BUILD_TOOL_OF", "SPDXRef-Component-my.app"),
        (id("wit-component"), "BUILD_TOOL_OF", "SPDXRef-Component-math"),
        (id("an-sdk"), "BUILD_DEPENDENCY_OF", "SPDXRef-Component-my.app"),
        (id("true"), "BUILD_TOOL_OF", "SPDXRef-Image"),
    ] {
        assert!(all.contains(&expected), "{expected:?} is not in {all:?}");
    }
    assert_eq!(all.len(), 8);
}

#[test]
fn the_same_build_has_the_same_sbom_and_another_one_has_another_name() {
    assert_eq!(sbom::document(&built(5)).unwrap(), sbom::document(&built(5)).unwrap());
    let (one, two) = (read(&built(5)), read(&built(6)));
    assert!(one["documentNamespace"].as_str().unwrap().starts_with("urn:uuid:"));
    assert_ne!(one["documentNamespace"], two["documentNamespace"]);
}

#[test]
fn every_element_is_named_once_and_every_name_is_of_an_element() {
    let document = read(&built(0));
    let ids: Vec<&str> =
        document["packages"].as_array().unwrap().iter().map(|one| one["SPDXID"].as_str().unwrap()).collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(unique.len(), ids.len());
    for id in &ids {
        let rest = id.strip_prefix("SPDXRef-").unwrap();
        assert!(rest.chars().all(|char| char.is_ascii_alphanumeric() || ".-".contains(char)), "{id}");
    }
    for (from, _, to) in relationships(&document) {
        assert!((from == "SPDXRef-DOCUMENT" || unique.contains(from)) && unique.contains(to));
    }
}
