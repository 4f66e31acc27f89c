//! Why an image is not taken for signed.

use crate::Digest;

/// What is wrong with an image's signatures. The later of two is the graver: it tells more of what happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// There is none.
    Unsigned,
    /// None is this key's, or what was signed was changed since.
    AnotherKey,
    /// This key has signed something that is no statement about an image.
    NoStatement(String),
    /// This key has signed another image: its signature was copied to this one.
    AnotherImage(Digest),
}

impl Fault {
    /// The sentence for the person who wants to run `reference`; `key`: what the public key is called.
    pub fn sentence(&self, reference: &str, key: &str) -> String {
        match self {
            Fault::Unsigned => format!(
                "{reference} has no signature, and {key} asks for one: sign it by `run-wasm sign {reference} --key FILE`"
            ),
            Fault::AnotherKey => format!(
                "{reference} is signed by another key than {key}: name the key of whoever signed it, or sign it by the \
                 private half of this one"
            ),
            Fault::NoStatement(why) => format!(
                "{reference} has a signature by {key} of something that is no statement about an image ({why}): sign it again"
            ),
            Fault::AnotherImage(image) => format!(
                "{reference} has a signature by {key} that is of another image, {image}: do not run it before you know who put \
                 that there, then sign it again"
            ),
        }
    }
}
