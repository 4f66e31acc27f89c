//! How a container runs: in a process of its own (`normal`). Shared mode is a word of the design that this release
//! refuses, with a sentence, wherever it is written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::text::as_text;

/// Where the guest executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Mode {
    /// One host process per container, isolated by the kernel.
    Normal,
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "normal" => Ok(Self::Normal),
            "shared" => Err("`shared` is not supported by this release; write `normal`".to_owned()),
            other => Err(format!("`{}` is no mode; write `normal`", other.escape_debug())),
        }
    }
}

as_text!(Mode);

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
        }
    }
}
