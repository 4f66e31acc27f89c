//! Media types of the documents and layers that this project reads and writes.

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Config of a Wasm OCI artifact (CNCF TAG Runtime, "Wasm OCI Artifact layout").
pub const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";

/// A module or component as a layer.
pub const WASM: &str = "application/wasm";

/// Whether a layer is Wasm: `application/wasm`, or one of the older types, which all end in `+wasm`
/// (`application/vnd.wasm.content.layer.v1+wasm`, `application/vnd.bytecodealliance.wasm.component.layer.v0+wasm`, …).
pub fn is_wasm_layer(media_type: &str) -> bool {
    media_type == WASM || media_type.ends_with("+wasm")
}

/// Whether a config makes its manifest a Wasm artifact: any version of `application/vnd.wasm.config`.
pub fn is_wasm_config(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.wasm.config.")
}

/// Whether a descriptor of this type refers to an index.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, OCI_INDEX | DOCKER_INDEX)
}

/// Whether a descriptor of this type refers to a manifest.
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, OCI_MANIFEST | DOCKER_MANIFEST)
}
