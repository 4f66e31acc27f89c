//! How a container runs: in a process of its own (`normal`), or in one that it shares with others of its trust group
//! (`shared`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// Where the guest executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Mode {
    /// One host process per container, isolated by the kernel.
    Normal,
    /// One host process per trust group, its containers isolated from each other by Wasm.
    Shared,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "normal" => Ok(Self::Normal),
            "shared" => Ok(Self::Shared),
            other => Err(format!("`{}` is no mode; write `normal` or `shared`", other.escape_debug())),
        }
    }
}

as_text!(Mode);

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Normal => "normal",
            Self::Shared => "shared",
        })
    }
}
