//! What is told of transfers while they last.

use std::fmt;
use std::sync::Arc;

use image::Digest;
use serde::Serialize;

/// Something that happens to a blob or manifest, or to the conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A transfer begins. `size` in bytes.
    Started { action: Action, digest: Digest, size: u64 },
    /// `done` of `size` bytes are there; less than before when a transfer starts again.
    Advanced { action: Action, digest: Digest, done: u64, size: u64 },
    /// It is there now.
    Finished { action: Action, digest: Digest, size: u64, how: How },
    /// The registry is asked again after some milliseconds.
    Waiting { registry: String, milliseconds: u64, why: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Pull,
    Push,
}

/// How content came to where it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    Transferred,
    /// It was there already.
    Present,
    /// The registry took it from another repository of its own.
    Mounted,
}

/// Who is told. Called from several tasks at once, and often: it must not block.
pub trait Progress: Send + Sync {
    fn event(&self, event: &Event);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: &Event) {}
}

/// A shared [`Progress`].
#[derive(Clone)]
pub(super) struct Teller(pub Arc<dyn Progress>);

impl Teller {
    pub fn tell(&self, event: Event) {
        self.0.event(&event);
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}
