//! The one component, or module, that an image amounts to.

use std::collections::BTreeMap;

use crate::compose::{Component, ComposeError, MAX_COMPONENT};
use crate::{Descriptor, ImageConfig, ImageError, Manifest, WasmImage};

/// Its only Wasm layer, or its layers as the plan in its config links them. `fetch` answers the bytes of a layer, verified;
/// `config` must have been verified, too.
///
/// # Errors
/// [`ImageError`] for an image without Wasm, with layers that nothing links, with another image's config, or too large;
/// [`ComposeError`] for layers that its plan does not fit; those of `fetch`.
pub fn of_image<E: From<ImageError> + From<ComposeError>>(
    manifest: &Manifest,
    config: &ImageConfig,
    mut fetch: impl FnMut(&Descriptor) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    manifest.is_confirmed_by(config)?;
    let layers = match manifest.wasm(MAX_COMPONENT)? {
        WasmImage::Artifact(layer) => vec![layer],
        WasmImage::Layers(layers) => layers,
        WasmImage::None => return Err(ImageError::NoLayers.into()),
    };
    let size = layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size));
    if size > MAX_COMPONENT {
        let (what, digest, limit) = ("the Wasm of the image", manifest.digest, MAX_COMPONENT);
        return Err(ImageError::TooLarge { what, digest, size, limit }.into());
    }
    let Some(plan) = &config.composition else {
        return match layers.as_slice() {
            [only] => fetch(only),
            several => Err(ImageError::Unlinked { digest: manifest.digest, found: several.len() }.into()),
        };
    };
    let mut parts = BTreeMap::new();
    for layer in &layers {
        parts.insert(layer.title().unwrap_or_default(), fetch(layer)?);
    }
    let components: Vec<Component<'_>> =
        parts.iter().map(|(name, bytes)| Component { name, bytes }).collect();
    Ok(plan.compose(&components)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Layout;
    use crate::compose::{Plan, Target, Wiring};
    use crate::{Digest, Document, ImageBuilder, manifest, media};

    #[derive(Debug, thiserror::Error)]
    enum Fault {
        #[error(transparent)]
        Image(#[from] ImageError),
        #[error(transparent)]
        Compose(#[from] ComposeError),
    }

    const APP: &str = r#"(component (import "a:b/c" (instance)) (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#;
    const DEP: &str = r#"(component (instance $i) (export "a:b/c" (instance $i)))"#;

    fn parts() -> [(&'static str, Vec<u8>); 2] {
        [("app", wat::parse_str(APP).unwrap()), ("dep", wat::parse_str(DEP).unwrap())]
    }

    fn plan() -> Plan {
        let parts = parts();
        let components = parts.each_ref().map(|(name, bytes)| Component { name, bytes });
        Plan::new(&components, &Wiring { root: "app".into(), ..Wiring::default() }, Target::Any).unwrap()
    }

    fn layers() -> ImageBuilder {
        parts().into_iter().fold(ImageBuilder::new(), |image, (name, bytes)| image.wasm(name, bytes))
    }

    fn read(layout: &Layout, config: Option<&ImageConfig>) -> Result<Vec<u8>, Fault> {
        let parsed = manifest::parse(layout.manifest_bytes(), media::OCI_MANIFEST).unwrap();
        let Document::Manifest(manifest) = parsed else { panic!("an index") };
        let blob = |descriptor: &Descriptor| layout.blob(&descriptor.digest).unwrap().to_vec();
        let own = ImageConfig::parse(&blob(&manifest.config)).unwrap();
        of_image(&manifest, config.unwrap_or(&own), |layer| Ok(blob(layer)))
    }

    #[test]
    fn layers_are_what_an_image_of_one_would_have_held() {
        let layout = layers().composition(plan()).build().unwrap();
        let linked = read(&layout, None).unwrap();
        assert_eq!(
            linked,
            plan().compose(&parts().each_ref().map(|(name, bytes)| Component { name, bytes })).unwrap()
        );
        let one = ImageBuilder::new().wasm("app", linked.clone()).build().unwrap();
        assert_eq!(read(&one, None).unwrap(), linked);
    }

    #[test]
    fn what_amounts_to_no_component_is_refused() {
        let refused = |image: ImageBuilder| read(&image.build().unwrap(), None).unwrap_err().to_string();
        assert!(refused(layers()).contains("2 layers of Wasm and no plan"));
        let other = ImageBuilder::new().layer("x", media::OCI_LAYER_TAR, "x");
        assert!(refused(other).contains("no layer of Wasm"));
        let replaced = plan();
        let config = ImageConfig {
            composition: Some(replaced),
            layer_digests: Some(vec![Digest::of(b"of another image")]),
            ..ImageConfig::default()
        };
        let layout = layers().build().unwrap();
        let sentence = read(&layout, Some(&config)).unwrap_err().to_string();
        assert!(sentence.contains("poses as the image"), "{sentence}");
    }

    #[test]
    fn a_plan_of_other_components_is_refused_by_their_digests() {
        let mut foreign = plan();
        foreign.components.insert("dep".into(), Digest::of(b"another"));
        let config = ImageConfig { composition: Some(foreign), ..ImageConfig::default() };
        let sentence = read(&layers().build().unwrap(), Some(&config)).unwrap_err().to_string();
        assert!(sentence.contains("the plan was made for «dep»"), "{sentence}");
    }
}
