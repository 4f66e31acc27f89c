//! `run.wasm/coredump`: where a trap leaves a core dump.

use serde::{Deserialize, Serialize};

use crate::error::shown;
use crate::mounts::Volume;
use crate::path;
use crate::units::ByteSize;

/// The one file that a trap of the guest writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CoreDump {
    /// Absolute and normalised, below a volume that is not read-only.
    pub path: String,
    /// The most bytes that it may have: the node's.
    pub max_bytes: u64,
}

impl CoreDump {
    /// The dump that a pod with these volumes asks for, on a node that allows so many bytes, or none.
    ///
    /// # Errors
    /// What is wrong with the place, to follow the annotation's name.
    pub(crate) fn new(text: &str, volumes: &[Volume], bound: Option<ByteSize>) -> Result<Self, String> {
        let Some(ByteSize(max_bytes)) = bound else {
            return Err(
                "this node allows no core dumps; `limits.coredump` of its config, such as \"64MiB\", does"
                    .to_owned(),
            );
        };
        let place = shown(text);
        if text.ends_with('/') {
            return Err(format!("`{place}` is a folder; name a file in it"));
        }
        let path = path::normalise(text).map_err(|why| format!("`{place}` {why}"))?;
        // The last mount that has the place is the one that is seen there.
        let holds = |volume: &&Volume| {
            let at = volume.destination.to_string_lossy();
            path != at && path::is_at_or_below(&path, &at)
        };
        match volumes.iter().rfind(holds) {
            None => {
                Err(format!("`{place}` is in no volume of the container; name a file below a `mountPath`"))
            }
            Some(volume) if volume.readonly => Err(format!(
                "`{place}` is in the volume at `{}`, which is read-only; name a file below one that is not",
                shown(&volume.destination.to_string_lossy())
            )),
            Some(_) => Ok(Self { path, max_bytes }),
        }
    }
}
