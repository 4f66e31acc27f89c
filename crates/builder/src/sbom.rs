//! What an image is made of, as an SPDX 2.3 document (ISO/IEC 5962): its components, where they came from, and what built them.
//!
//! The same build gives the same bytes: the time is the image's, and the document's name in the world is made of its content.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use image::Digest;
use image::build::{canonical_json, rfc3339};
use serde_json::{Value, json};

use crate::project::{Built, Obtained};
use crate::registry::{Attachment, Reference};

/// The media type of such a document, and the type of the artifact that holds one.
pub const MEDIA_TYPE: &str = "application/spdx+json";

/// The largest document that is read, in bytes.
const MAX_DOCUMENT: u64 = 16 << 20;

/// The longest name or version of a tool that is taken over from a component, in bytes.
const MAX_TEXT: usize = 200;

/// Who writes these documents.
const CREATOR: &str = concat!("Tool: run-wasm-", env!("CARGO_PKG_VERSION"));
const OWN: &str = "Tool: run-wasm-";

/// The identifiers of the document and of the image in it.
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

/// The SBOM of an image that was built.
///
/// # Errors
/// A sentence with the component that is no valid Wasm, or a time after the year 9999.
pub fn document(built: &Built) -> Result<Vec<u8>> {
    let created = rfc3339(built.created).context("an SBOM cannot be of a time after the year 9999")?;
    let mut graph = Graph::default();
    graph.add(image_package(built));
    graph.relate(DOCUMENT, "DESCRIBES", IMAGE);
    for (name, component) in &built.components {
        graph.component(built, name, component)?;
    }
    for (program, version) in &built.lock.tools {
        let tool = graph.tool(program, version);
        graph.relate(&tool, "BUILD_TOOL_OF", IMAGE);
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": built.tag,
        "creationInfo": { "created": created, "creators": [CREATOR] },
        "packages": graph.packages.into_values().collect::<Vec<_>>(),
        "relationships": graph.relationships.into_iter().map(relationship).collect::<Vec<_>>(),
    });
    let content = Digest::of(&canonical_json(document.clone()));
    if let Some(map) = document.as_object_mut() {
        map.insert("documentNamespace".into(), format!("urn:uuid:{}", uuid(&content)).into());
    }
    Ok(canonical_json(document))
}

/// Reads a document, of whoever's making, that is to be attached to `image`.
///
/// # Errors
/// A sentence with the path: it is no SPDX 2 in JSON, or one of ours for another image.
pub fn read(path: &Path, image: &Digest) -> Result<Vec<u8>> {
    let shown = path.display();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        bail!("{shown} has more than {MAX_DOCUMENT} bytes: no SBOM of that size is attached");
    }
    let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let version = document.pointer("/spdxVersion").and_then(Value::as_str);
    if !version.is_some_and(|version| version.starts_with("SPDX-2.")) {
        bail!("{shown} is no SPDX 2 document in JSON: `run-wasm build --sbom FILE` writes one");
    }
    match described_by_us(&document) {
        Some(other) if other != *image => bail!(
            "{shown} is the SBOM of the image {other}, and this one is {image}: build again with --sbom, then push both"
        ),
        _ => Ok(bytes),
    }
}

/// How a document is attached to an image.
pub fn attachment(document: Vec<u8>) -> Attachment {
    Attachment {
        artifact_type: MEDIA_TYPE.into(),
        layers: vec![(MEDIA_TYPE.into(), document)],
        annotations: BTreeMap::new(),
    }
}

/// The image of a document of our own making.
fn described_by_us(document: &Value) -> Option<Digest> {
    let creators = document.pointer("/creationInfo/creators")?.as_array()?;
    creators.iter().find(|creator| creator.as_str().is_some_and(|name| name.starts_with(OWN)))?;
    let mut packages = document.get("packages")?.as_array()?.iter();
    let image = packages.find(|package| package.get("SPDXID").is_some_and(|id| id == IMAGE))?;
    let checksum = image.pointer("/checksums/0/checksumValue")?.as_str()?;
    format!("sha256:{checksum}").parse().ok()
}

/// Packages by their identifiers, and what they have to do with one another.
#[derive(Debug, Default)]
struct Graph {
    packages: BTreeMap<String, Value>,
    relationships: BTreeSet<(String, &'static str, String)>,
}

impl Graph {
    fn add(&mut self, package: Package) -> String {
        let id = package.id.clone();
        self.packages.insert(id.clone(), package.json());
        id
    }

    fn relate(&mut self, from: &str, kind: &'static str, to: &str) {
        self.relationships.insert((from.into(), kind, to.into()));
    }

    fn component(&mut self, built: &Built, name: &str, component: &Obtained) -> Result<()> {
        let producers =
            image::inspect(&component.bytes).with_context(|| format!("component «{name}»"))?.producers;
        let pin = component.locked.pin.as_ref();
        let languages: Vec<String> = producers.languages.iter().map(|language| tame(language)).collect();
        let id = self.add(Package {
            // Names have no dot, so that no two become one.
            id: format!("SPDXRef-Component-{}", name.replace('_', ".")),
            name: name.into(),
            version: pin.map_or_else(|| built.project.version.to_string(), |pin| pin.version.to_string()),
            purpose: "LIBRARY",
            digest: Some(component.locked.digest),
            purl: pin.and_then(|pin| purl(&format!("{}:{}", pin.repository, pin.version), &pin.manifest)),
            comment: (!languages.is_empty()).then(|| format!("languages: {}", languages.join(", "))),
        });
        self.relate(IMAGE, "CONTAINS", &id);
        for (tools, kind) in
            [(&producers.processed_by, "BUILD_TOOL_OF"), (&producers.sdks, "BUILD_DEPENDENCY_OF")]
        {
            for tool in tools {
                let (name, version) = tool.split_once(' ').unwrap_or((tool, ""));
                let tool = self.tool(name, version);
                self.relate(&tool, kind, &id);
            }
        }
        Ok(())
    }

    /// A program or SDK; the same one has one package.
    fn tool(&mut self, name: &str, version: &str) -> String {
        let (name, version) = (tame(name), tame(version));
        let hex = Digest::of(format!("{name}\n{version}").as_bytes()).hex();
        self.add(Package {
            id: format!("SPDXRef-Tool-{}", hex.chars().take(16).collect::<String>()),
            name,
            version,
            purpose: "APPLICATION",
            digest: None,
            purl: None,
            comment: None,
        })
    }
}

struct Package {
    id: String,
    name: String,
    version: String,
    purpose: &'static str,
    digest: Option<Digest>,
    purl: Option<String>,
    comment: Option<String>,
}

impl Package {
    fn json(self) -> Value {
        let mut package = json!({
            "SPDXID": self.id,
            "name": self.name,
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": false,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "primaryPackagePurpose": self.purpose,
        });
        let version = (!self.version.is_empty()).then(|| json!(self.version));
        let checksums =
            self.digest.map(|digest| json!([{ "algorithm": "SHA256", "checksumValue": digest.hex() }]));
        let references = self.purl.map(|purl| {
            json!([{
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": purl,
            }])
        });
        let more = [
            ("versionInfo", version),
            ("checksums", checksums),
            ("externalRefs", references),
            ("comment", self.comment.map(Value::from)),
        ];
        if let Some(map) = package.as_object_mut() {
            map.extend(more.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        }
        package
    }
}

fn image_package(built: &Built) -> Package {
    Package {
        id: IMAGE.into(),
        name: built.project.name.clone(),
        version: built.project.version.to_string(),
        purpose: "CONTAINER",
        digest: Some(built.digest()),
        purl: purl(&built.tag, &built.digest()),
        comment: None,
    }
}

fn relationship((from, kind, to): (String, &str, String)) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

/// The package URL of an image (type `oci` of the purl specification); of a name that leads to no registry, none.
fn purl(image: &str, digest: &Digest) -> Option<String> {
    let reference: Reference = image.parse().ok()?;
    let repository = reference.repository();
    let name = repository.path().rsplit('/').next()?;
    let tag = reference.tag().map(|tag| format!("&tag={tag}")).unwrap_or_default();
    Some(format!("pkg:oci/{name}@sha256%3A{}?repository_url={repository}{tag}", digest.hex()))
}

/// Text of a component's making, short and on one line.
fn tame(text: &str) -> String {
    image::tame(text.trim(), MAX_TEXT)
}

/// A UUID of version 8 (RFC 9562, 5.8) that is made of a digest.
fn uuid(digest: &Digest) -> String {
    let mut digits: Vec<char> = digest.hex().chars().take(32).collect();
    for (at, digit) in [(12, '8'), (16, '8')] {
        if let Some(place) = digits.get_mut(at) {
            *place = digit;
        }
    }
    let mut text = String::new();
    for (at, digit) in digits.into_iter().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_named_by_a_uuid_of_its_content() {
        let name = uuid(&Digest::of(b"x"));
        assert_eq!(name, "2d711642-b726-8044-8162-7ca9fbac32f5");
        assert_ne!(name, uuid(&Digest::of(b"y")));
    }

    #[test]
    fn an_image_has_a_package_url() {
        let digest = Digest::of(b"x");
        let found = purl("registry.example:5000/team/math:1.2.0", &digest).unwrap();
        let hex = digest.hex();
        assert_eq!(
            found,
            format!("pkg:oci/math@sha256%3A{hex}?repository_url=registry.example:5000/team/math&tag=1.2.0")
        );
        assert_eq!(purl("math:1", &digest), None);
    }

    #[test]
    fn only_what_is_spdx_and_of_this_image_is_attached() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sbom.json");
        let attach = |text: &str, image: &[u8]| {
            std::fs::write(&file, text).unwrap();
            read(&file, &Digest::of(image)).map_err(|error| format!("{error:#}"))
        };
        for wrong in ["", "x", "[]", "{}", r#"{"spdxVersion": "SPDX-3.0"}"#, r#"{"bomFormat": "CycloneDX"}"#]
        {
            let error = attach(wrong, b"x").unwrap_err();
            assert!(error.contains("sbom.json is no SPDX 2 document"), "{error}");
        }
        let foreign = r#"{"spdxVersion": "SPDX-2.3", "creationInfo": {"creators": ["Tool: other"]}}"#;
        assert_eq!(attach(foreign, b"x").unwrap(), foreign.as_bytes());
        let ours = json!({
            "spdxVersion": "SPDX-2.3",
            "creationInfo": { "creators": [CREATOR] },
            "packages": [{
                "SPDXID": IMAGE,
                "checksums": [{ "algorithm": "SHA256", "checksumValue": Digest::of(b"x").hex() }],
            }],
        });
        assert!(attach(&ours.to_string(), b"x").is_ok());
        assert!(attach(&ours.to_string(), b"y").unwrap_err().contains("build again with --sbom"));
        assert!(attach(&" ".repeat(17 << 20), b"x").unwrap_err().contains("more than"));
    }
}
