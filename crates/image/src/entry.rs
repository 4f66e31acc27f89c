//! Which of an image's Wasm layers is the one to run.

use crate::error::tame;
use crate::{Descriptor, ImageError};

/// Chooses the layer that the container's first argument names. One layer alone is the entry whatever it is called;
/// several are told apart by their titles. Paths compare without a leading `/` or `./`, and `args0` also without the
/// `#function` at its end.
///
/// # Errors
/// [`ImageError::NoEntry`] with the titles that there are, when none or several match; [`ImageError::NoLayers`].
pub fn choose<'a>(layers: &'a [Descriptor], args0: &str) -> Result<&'a Descriptor, ImageError> {
    match layers {
        [] => Err(ImageError::NoLayers),
        [only] => Ok(only),
        several => {
            let path = args0.split_once('#').map_or(args0, |(path, _)| path);
            let mut titled = several
                .iter()
                .filter(|layer| layer.title().is_some_and(|title| relative(title) == relative(path)));
            match (titled.next(), titled.next()) {
                (Some(layer), None) => Ok(layer),
                _ => Err(ImageError::NoEntry { wanted: tame(path, 100), titles: titles(several) }),
            }
        }
    }
}

fn relative(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path).trim_start_matches('/')
}

/// The titles for an error, at most ten.
fn titles(layers: &[Descriptor]) -> String {
    let mut titles: Vec<String> = layers.iter().take(10).map(name).collect();
    if layers.len() > titles.len() {
        titles.push("…".into());
    }
    titles.join(", ")
}

fn name(layer: &Descriptor) -> String {
    match layer.title() {
        Some(title) => format!("«{}»", tame(title, 100)),
        None => format!("(untitled {})", layer.digest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, media};
    use proptest::prelude::*;

    fn layers(titles: &[Option<&str>]) -> Vec<Descriptor> {
        let layer = |title: &Option<&str>| Descriptor {
            media_type: media::WASM.into(),
            digest: Digest::of(title.unwrap_or_default().as_bytes()),
            size: 1,
            annotations: title
                .iter()
                .map(|t| ("org.opencontainers.image.title".into(), t.to_string()))
                .collect(),
        };
        titles.iter().map(layer).collect()
    }

    #[test]
    fn one_layer_is_the_entry_whatever_it_is_called() {
        let one = layers(&[None]);
        assert_eq!(choose(&one, "/anything.wasm"), Ok(&one[0]));
        assert_eq!(choose(&[], "/x"), Err(ImageError::NoLayers));
    }

    #[test]
    fn several_layers_are_told_apart_by_title() {
        let three = layers(&[Some("math.wasm"), Some("/app/main.wasm"), None]);
        for name in ["math.wasm", "/math.wasm", "./math.wasm", "/math.wasm#add"] {
            assert_eq!(choose(&three, name), Ok(&three[0]), "{name}");
        }
        assert_eq!(choose(&three, "/app/main.wasm"), Ok(&three[1]));
    }

    #[test]
    fn an_unknown_or_ambiguous_name_is_refused_with_the_titles() {
        let sentence =
            choose(&layers(&[Some("a.wasm"), Some("b.wasm"), None]), "/main.wasm").unwrap_err().to_string();
        assert!(
            sentence.contains("«/main.wasm»") && sentence.contains("«a.wasm», «b.wasm», (untitled sha256:"),
            "{sentence}"
        );
        assert!(choose(&layers(&[Some("a.wasm"), Some("/a.wasm")]), "a.wasm").is_err());
        assert!(choose(&layers(&[Some("a.wasm"), None]), "").is_err());
    }

    proptest! {
        #[test]
        fn what_is_chosen_has_the_name(titles in prop::collection::vec("[./ab]{0,4}", 2..6), name in "[./ab#]{0,5}") {
            let layers = layers(&titles.iter().map(|t| Some(t.as_str())).collect::<Vec<_>>());
            if let Ok(layer) = choose(&layers, &name) {
                prop_assert!(name.contains(relative(layer.title().unwrap())));
            }
        }
    }
}
