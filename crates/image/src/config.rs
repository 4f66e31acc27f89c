//! The parts of an image config that tell Wasm from native, and one image from another; and what it runs.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::compose::Plan;
use crate::error::tame;
use crate::manifest::MAX_DOCUMENT;
use crate::{Digest, ImageError};

/// The key of [`ImageConfig::composition`].
pub const COMPOSITION: &str = "run.wasm/composition";

/// What an image config says of its platform and Wasm layers. containerd has already put all else into the OCI runtime
/// spec.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageConfig {
    pub os: Option<String>,
    pub architecture: Option<String>,
    /// The digest of each layer of the manifest, in its order (CNCF Wasm OCI artifact; our images, too).
    pub layer_digests: Option<Vec<Digest>>,
    /// The title of each layer, in the same order; empty where it has none. Only our own images say it.
    pub layer_titles: Option<Vec<String>>,
    /// How the Wasm layers are linked when the image is run: the plan's components are the layers of the same titles. Only
    /// our own images say it.
    #[serde(rename = "run.wasm/composition")]
    pub composition: Option<Plan>,
}

impl ImageConfig {
    /// Reads the config of an OCI or docker image, or of a Wasm artifact.
    ///
    /// # Errors
    /// A sentence with the digest of the config when it is too large or no JSON object.
    pub fn parse(bytes: &[u8]) -> Result<ImageConfig, ImageError> {
        parse(bytes)
    }

    /// Whether it says "Wasm" by its platform: such an image never runs as a native one.
    pub fn claims_wasm(&self) -> bool {
        let starts =
            |field: &Option<String>, word| field.as_deref().is_some_and(|field| field.starts_with(word));
        starts(&self.os, "wasi") || starts(&self.architecture, "wasm")
    }
}

/// What a container of an image runs when nobody says otherwise: the `config` of an image config (OCI image spec, "Image
/// Configuration"). A shim finds it in the container's spec; whoever runs an image without containerd needs it from here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Process {
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    /// `NAME=value` each.
    pub env: Option<Vec<String>>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
}

impl Process {
    /// Reads it from the config of an OCI or docker image; of a config that has none all is `None`.
    ///
    /// # Errors
    /// As those of [`ImageConfig::parse`].
    pub fn parse(bytes: &[u8]) -> Result<Process, ImageError> {
        #[derive(Deserialize)]
        struct Config {
            config: Option<Process>,
        }
        parse(bytes).map(|config: Config| config.config.unwrap_or_default())
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ImageError> {
    let (what, digest, size) = ("the image config", Digest::of(bytes), bytes.len() as u64);
    if size > MAX_DOCUMENT {
        return Err(ImageError::TooLarge { what, digest, size, limit: MAX_DOCUMENT });
    }
    serde_json::from_slice(bytes).map_err(|error| ImageError::Malformed {
        what,
        digest,
        why: tame(&error.to_string(), 500),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wasm_platform_is_a_claim() {
        let claims = |text: &str| ImageConfig::parse(text.as_bytes()).unwrap().claims_wasm();
        assert!(claims(r#"{"os": "wasip2", "architecture": "wasm"}"#));
        assert!(claims(r#"{"os": "wasi", "config": {"Entrypoint": null}}"#));
        assert!(claims(r#"{"os": "linux", "architecture": "wasm32"}"#));
        assert!(!claims(r#"{"os": "linux", "architecture": "amd64"}"#));
        assert!(!claims("{}"));
    }

    #[test]
    fn layers_are_read_where_the_config_names_them() {
        let text = format!(r#"{{"layerDigests": ["{}"], "layerTitles": null}}"#, Digest::of(b"x"));
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!((config.layer_digests, config.layer_titles), (Some(vec![Digest::of(b"x")]), None));
        assert!(ImageConfig::parse(br#"{"layerDigests": ["sha256:0"]}"#).is_err());
    }

    #[test]
    fn a_broken_config_is_refused_with_its_digest() {
        let sentence = ImageConfig::parse(b"{").unwrap_err().to_string();
        assert!(sentence.contains(&Digest::of(b"{").to_string()), "{sentence}");
    }

    #[test]
    fn what_an_image_runs_is_read_where_the_config_says_it() {
        let of = |config: &str| Process::parse(config.as_bytes());
        let entrypoint = Some(vec!["/app.wasm".to_owned()]);
        let said =
            of(r#"{"config": {"Entrypoint": ["/app.wasm"], "Cmd": null, "WorkingDir": "/data"}}"#).unwrap();
        let folder = Some("/data".to_owned());
        assert_eq!(said, Process { entrypoint, working_dir: folder, ..Process::default() });
        for silent in ["{}", r#"{"config": null}"#, r#"{"config": {}}"#] {
            assert_eq!(of(silent).unwrap(), Process::default(), "{silent}");
        }
        assert!(of(r#"{"config": {"Entrypoint": 7}}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            drop(ImageConfig::parse(&bytes));
            drop(Process::parse(&bytes));
        }
    }
}
