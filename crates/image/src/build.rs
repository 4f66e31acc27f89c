//! Builds OCI images in memory: the same input gives the same bytes, on any machine and at any time.
//!
//! Canonical JSON (sorted keys, no white space), sorted tar entries of uid 0, and one point in time for all of it: 1970,
//! or what [`ImageBuilder::created`] says.

mod canonical;
mod layout;
mod rootfs;
mod time;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use self::canonical::json as canonical_json;
pub use self::layout::Layout;
pub use self::rootfs::Node;
pub use self::time::rfc3339;
use crate::compose::Plan;
use crate::config::COMPOSITION;
use crate::{Digest, ImageError, Kind, inspect, manifest, media, sniff};

/// How Wasm is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// An OCI image of os `wasip2` (`wasip1` for core modules) and architecture `wasm` with `application/wasm` layers and
    /// no rootfs: runs everywhere, `ctr run` included. With [`ImageBuilder::composition`] the layers are linked where they run.
    #[default]
    Image,
    /// A Wasm OCI artifact as the CNCF lays it out, with the `config` and `rootfs` keys of an image config besides, so that
    /// CRI finds an entry point. `ctr run` knows no such config.
    Artifact,
    /// An ordinary `linux/<architecture>` image with one tar layer that holds all files.
    Rootfs,
}

/// Collects what goes into an image.
#[derive(Debug, Clone, Default)]
pub struct ImageBuilder {
    format: Format,
    layers: Vec<Layer>,
    files: BTreeMap<String, Node>,
    entrypoint: Option<Vec<String>>,
    cmd: Vec<String>,
    env: Vec<(String, String)>,
    user: Option<String>,
    labels: BTreeMap<String, String>,
    architecture: Option<String>,
    created: u64,
    composition: Option<Plan>,
    annotations: BTreeMap<String, String>,
    config: Option<Value>,
}

#[derive(Debug, Clone)]
struct Layer {
    title: String,
    media_type: String,
    bytes: Vec<u8>,
    /// Whether the bytes must be valid Wasm.
    checked: bool,
}

impl ImageBuilder {
    pub fn new() -> ImageBuilder {
        ImageBuilder::default()
    }

    pub fn format(mut self, format: Format) -> Self {
        self.format = format;
        self
    }

    /// A module or component, a layer titled `name`; of format [`Format::Rootfs`], the file `/<name>`. Bytes that are no
    /// valid Wasm fail the build.
    pub fn wasm(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.layers.push(Layer {
            title: name.into(),
            media_type: media::WASM.into(),
            bytes: bytes.into(),
            checked: true,
        });
        self
    }

    /// A layer of any type with any content, unchecked: what a stranger's image may hold. A tar
    /// ([`media::OCI_LAYER_TAR`]) becomes the image's root file system.
    pub fn layer(
        mut self,
        title: impl Into<String>,
        media_type: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Self {
        let layer =
            Layer { title: title.into(), media_type: media_type.into(), bytes: bytes.into(), checked: false };
        self.layers.push(layer);
        self
    }

    /// A config of a stranger's making in place of ours, unchecked; not for [`Format::Rootfs`].
    pub fn config(mut self, config: Value) -> Self {
        self.config = Some(config);
        self
    }

    /// The program and its first arguments. When never called: `/<name of the first layer>`.
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = Some(words.into_iter().map(Into::into).collect());
        self
    }

    /// The arguments that a pod's `args` replace.
    pub fn cmd<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.cmd = words.into_iter().map(Into::into).collect();
        self
    }

    /// An environment variable; of two with one name the later counts.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.env.retain(|(other, _)| *other != name);
        self.env.push((name, value.into()));
        self
    }

    /// `uid`, `uid:gid`, or a name that the rootfs knows; Wasm images have no rootfs, so theirs is numeric.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Links the layers when the image is run: the plan's components are the layers of the same titles. Its root is what runs.
    pub fn composition(mut self, plan: Plan) -> Self {
        self.composition = Some(plan);
        self
    }

    /// An annotation of the manifest, for registries and people; a container does not see it.
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// A regular file of a [`Format::Rootfs`] image; its folders are made. `mode`: permission bits, `0o755`.
    pub fn rootfs_file(self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.rootfs_node(path, Node::File { bytes: bytes.into(), mode })
    }

    /// Anything in the rootfs of a [`Format::Rootfs`] image.
    pub fn rootfs_node(mut self, path: impl Into<String>, node: Node) -> Self {
        self.files.insert(path.into(), node);
        self
    }

    /// The architecture of a [`Format::Rootfs`] image in Go's words. When never called: this machine's.
    pub fn architecture(mut self, architecture: impl Into<String>) -> Self {
        self.architecture = Some(architecture.into());
        self
    }

    /// When it was made, in seconds since 1970 (`SOURCE_DATE_EPOCH`).
    pub fn created(mut self, seconds: u64) -> Self {
        self.created = seconds;
        self
    }

    /// Makes config, layers and manifest.
    ///
    /// # Errors
    /// [`ImageError::Build`] with a sentence that names the layer, file or variable that cannot be packed.
    pub fn build(self) -> Result<Layout, ImageError> {
        let created =
            time::rfc3339(self.created).ok_or_else(|| refuse("it would be made after the year 9999"))?;
        self.check()?;
        match self.format {
            Format::Image => self.build_layers(media::OCI_CONFIG, &created, json!({})),
            Format::Artifact => {
                let component = self.component()?;
                self.build_layers(media::WASM_CONFIG, &created, component)
            }
            Format::Rootfs => self.build_rootfs(&created),
        }
    }

    /// The image as a tar that holds an OCI layout: for `ctr images import`. `reference` is its full name,
    /// `registry/name:tag`.
    ///
    /// # Errors
    /// As [`ImageBuilder::build`], and for a reference that is none.
    pub fn to_oci_tar(self, reference: &str) -> Result<Vec<u8>, ImageError> {
        let created = self.created;
        self.build()?.to_tar(reference, created)
    }

    fn check(&self) -> Result<(), ImageError> {
        self.check_composition()?;
        for (name, value) in &self.env {
            if name.is_empty() || name.contains('=') || name.contains('\0') || value.contains('\0') {
                return Err(refuse(format!(
                    "«{}» is no name and value of an environment variable",
                    name.escape_debug()
                )));
            }
        }
        if self.format != Format::Rootfs {
            if let Some(path) = self.files.keys().next() {
                return Err(refuse(format!(
                    "{path} needs the format rootfs: Wasm images have no file system"
                )));
            }
            if self.layers.is_empty() {
                return Err(refuse("it would hold no Wasm: name a file"));
            }
            if self.user.as_deref().is_some_and(|user| !user.bytes().all(|b| b.is_ascii_digit() || b == b':'))
            {
                return Err(refuse(
                    "its user must be numeric: a Wasm image has no /etc/passwd to look a name up in",
                ));
            }
        }
        if self.format == Format::Artifact && self.layers.len() != 1 {
            return Err(refuse(
                "an artifact holds exactly one Wasm file: choose the format image for several",
            ));
        }
        let mut titles: Vec<&str> = self.layers.iter().map(|layer| layer.title.as_str()).collect();
        titles.sort_unstable();
        if let Some([title, _]) = titles.windows(2).find(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(refuse(format!("two files are called {title}: rename one")));
        }
        for layer in self.layers.iter().filter(|layer| layer.checked) {
            let name = layer.title.escape_debug();
            let kind = sniff(&layer.bytes);
            if !kind.is_wasm_binary() {
                return Err(refuse(format!("{name} is {}", kind.describe())));
            }
            inspect(&layer.bytes).map_err(|error| refuse(format!("{name}: {error}")))?;
        }
        Ok(())
    }

    fn check_composition(&self) -> Result<(), ImageError> {
        let Some(plan) = &self.composition else { return Ok(()) };
        if self.format != Format::Image {
            return Err(refuse(
                "a composition needs the format image: only its layers are linked when they run",
            ));
        }
        for (name, digest) in &plan.components {
            let layer = self.layers.iter().find(|layer| layer.title == *name);
            let layer = layer
                .ok_or_else(|| refuse(format!("its composition has «{name}» and no layer is called so")))?;
            digest.verify(&layer.bytes).map_err(|error| refuse(format!("{name}: {error}")))?;
        }
        Ok(())
    }

    /// `config`: keys besides those of both formats. The layers are named in the config because CRI takes images with one
    /// config for one image ([`crate::Manifest::is_confirmed_by`]).
    fn build_layers(self, config_type: &str, created: &str, mut config: Value) -> Result<Layout, ImageError> {
        let mut layout = Layout::default();
        let digests: Vec<String> =
            self.layers.iter().map(|layer| Digest::of(&layer.bytes).to_string()).collect();
        let titles: Vec<&str> = self.layers.iter().map(|layer| layer.title.as_str()).collect();
        let unpacked = self.layers.iter().filter(|layer| layer.media_type == media::OCI_LAYER_TAR);
        let unpacked: Vec<String> = unpacked.map(|layer| Digest::of(&layer.bytes).to_string()).collect();
        canonical::merge(
            &mut config,
            json!({
                "architecture": "wasm",
                "config": self.process(),
                "created": created,
                "layerDigests": digests,
                "layerTitles": titles,
                "os": self.wasi(),
                "rootfs": {"type": "layers", "diff_ids": unpacked},
            }),
        );
        if let Some(plan) = &self.composition {
            let plan = serde_json::to_value(plan).map_err(|error| refuse(error.to_string()))?;
            canonical::merge(&mut config, json!({ COMPOSITION: plan }));
        }
        let config = layout.add(config_type, canonical::json(self.config.unwrap_or(config)), None);
        let layers = self
            .layers
            .into_iter()
            .map(|layer| layout.add(&layer.media_type, layer.bytes, Some(&layer.title)))
            .collect();
        layout.manifest(config, layers, self.annotations);
        Ok(layout)
    }

    fn build_rootfs(mut self, created: &str) -> Result<Layout, ImageError> {
        let process = self.process();
        for layer in std::mem::take(&mut self.layers) {
            self.files.insert(format!("/{}", layer.title), Node::File { bytes: layer.bytes, mode: 0o644 });
        }
        let tar = rootfs::tar(&self.files, self.created)?;
        let mut layout = Layout::default();
        let config = json!({
            "architecture": self.architecture.as_deref().unwrap_or(manifest::ARCHITECTURE),
            "config": process,
            "created": created,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&tar).to_string()]},
        });
        let config = layout.add(media::OCI_CONFIG, canonical::json(config), None);
        let layer = layout.add(media::OCI_LAYER_TAR, tar, None);
        layout.manifest(config, vec![layer], self.annotations);
        Ok(layout)
    }

    /// The `component` key that the CNCF's layout asks of an artifact's config; a module has none.
    fn component(&self) -> Result<Value, ImageError> {
        let Some(layer) =
            self.layers.iter().find(|layer| layer.checked && sniff(&layer.bytes) == Kind::Component)
        else {
            return Ok(json!({}));
        };
        let seen = inspect(&layer.bytes)?;
        let exports: Vec<&str> = seen.exports.iter().map(|export| export.name.as_str()).collect();
        let imports: Vec<&str> = seen.imports.iter().map(|import| import.name.as_str()).collect();
        Ok(json!({"component": {"exports": exports, "imports": imports, "target": null}}))
    }

    /// The `config` of an image config: absent rather than empty.
    fn process(&self) -> Value {
        let first = || match &self.composition {
            Some(plan) => Some(&plan.root),
            None => self.layers.first().map(|layer| &layer.title),
        };
        let default = || first().map(|title| format!("/{title}")).into_iter().collect();
        let entrypoint = self.entrypoint.clone().unwrap_or_else(default);
        let env: Vec<String> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut process = json!({});
        for (key, words) in [("Entrypoint", &entrypoint), ("Cmd", &self.cmd), ("Env", &env)] {
            if !words.is_empty() {
                canonical::merge(&mut process, json!({ key: words }));
            }
        }
        if let Some(user) = &self.user {
            canonical::merge(&mut process, json!({"User": user}));
        }
        if !self.labels.is_empty() {
            canonical::merge(&mut process, json!({"Labels": self.labels}));
        }
        process
    }

    /// `wasip1` when all layers are core modules.
    fn wasi(&self) -> &'static str {
        if self.layers.iter().all(|layer| sniff(&layer.bytes) == Kind::Module) { "wasip1" } else { "wasip2" }
    }
}

fn refuse(why: impl Into<String>) -> ImageError {
    ImageError::Build(why.into())
}

#[cfg(test)]
mod tests;
