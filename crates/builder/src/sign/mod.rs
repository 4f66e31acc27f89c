//! Signing images by a key, and verifying it, as cosign does: the signatures of an image are a manifest in its own
//! repository, under a tag that is made of its digest. What a signature means is `image::signature`'s.

mod append;
mod encrypted;
mod key;
mod pem;
mod present;
mod verify;

pub use self::append::{Signed, sign};
pub use self::key::{Files, PrivateKey, generate, public_key};
pub use self::verify::{Verified, verify};
