//! What was compiled a moment ago. CRI gives each image three names and a label, and each of them is an event.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use image::Digest;

/// Later it may have been evicted from the cache.
const RECENT: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Recent(Mutex<HashMap<Digest, Instant>>);

impl Recent {
    /// Notes an image. Answers whether it was not noted before, in the last minute.
    pub fn is_new(&self, image: Digest) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, at| at.elapsed() < RECENT);
        seen.insert(image, Instant::now()).is_none()
    }

    /// One that did not succeed may be tried again.
    pub fn forget(&self, image: &Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(image);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_new_once() {
        let (recent, image) = (Recent::default(), Digest::of(b"image"));
        assert_eq!([recent.is_new(image), recent.is_new(image)], [true, false]);
        assert!(recent.is_new(Digest::of(b"another")));
        recent.forget(&image);
        assert!(recent.is_new(image), "after a failure");
    }
}
