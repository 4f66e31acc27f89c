//! Why an image is refused.

use crate::Digest;

/// A sentence for the person who made, or runs, the image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("«{0}» is no digest that is supported: it must be sha256: and 64 lower-case hexadecimal digits")]
    Digest(String),

    #[error(
        "the content of {expected} has the digest {found}: it is damaged or was replaced; pull the image again"
    )]
    DigestMismatch { expected: Digest, found: Digest },

    #[error(
        "the content of {digest} has {found} bytes and its descriptor says {expected}: pull the image again"
    )]
    SizeMismatch { digest: Digest, expected: u64, found: u64 },

    #[error("{what} {digest} cannot be read: {why}")]
    Malformed { what: &'static str, digest: Digest, why: String },

    #[error("{what} {digest} has {size} bytes; the limit is {limit}")]
    TooLarge { what: &'static str, digest: Digest, size: u64, limit: u64 },

    #[error(
        "{what} {digest} is of the media type «{found}», which is not supported: rebuild the image as an OCI image"
    )]
    MediaType { what: &'static str, digest: Digest, found: String },

    #[error(
        "the image index {digest} has no entry for wasip2, wasip1, wasi or linux/{architecture}, only for {found}: \
         publish a single manifest, or add such a platform"
    )]
    NoPlatform { digest: Digest, architecture: String, found: String },

    #[error(
        "the Wasm artifact {digest} has {found} layers of Wasm and must have exactly one: pack several components as an \
         OCI image, or compose them into one"
    )]
    ArtifactLayers { digest: Digest, found: usize },

    #[error(
        "the image manifest {digest} lists other layers than its own config {config} names: it poses as the image that \
         this config was made for; find it by `ctr images ls` and remove it"
    )]
    ForeignConfig { digest: Digest, config: Digest },

    #[error("the image has no layer of Wasm")]
    NoLayers,

    #[error(
        "the image {digest} has {found} layers of Wasm and no plan that links them: build it by `run-wasm build`, in any \
         format, or name the .wasm file that is meant"
    )]
    Unlinked { digest: Digest, found: usize },

    #[error(
        "the image has several Wasm layers and none, or more than one, is titled «{wanted}»: name one of {titles} as the entry point"
    )]
    NoEntry { wanted: String, titles: String },

    #[error("an image cannot be built: {0}")]
    Build(String),

    #[error("it is no valid Wasm: {0}")]
    Wasm(String),
}

/// Text of a stranger's making, or an error that quotes some, as part of a sentence: on one line, and not much longer than
/// `most` bytes.
pub fn tame(text: &str, most: usize) -> String {
    let mut tamed = String::new();
    for char in text.chars() {
        if tamed.len() >= most {
            tamed.push('…');
            break;
        }
        match char {
            '"' | '\'' | '\\' => tamed.push(char),
            other => tamed.extend(other.escape_debug()),
        }
    }
    tamed
}

#[cfg(test)]
mod tests {
    use super::tame;

    #[test]
    fn what_a_stranger_says_steers_no_terminal_and_fills_no_screen() {
        assert_eq!(tame("«é» at\n\u{1b}[2J", 100), "«é» at\\n\\u{1b}[2J");
        assert_eq!(tame("`a\u{202e}b` \"\\", 100), "`a\\u{202e}b` \"\\");
        assert_eq!(tame("12345", 5), "12345");
        assert_eq!(tame("123456", 5), "12345…");
    }
}
