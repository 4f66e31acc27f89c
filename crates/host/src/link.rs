//! Components of one image become one, before that is compiled. In the compiler's process, as the bytes are anybody's.

use image::compose::{Component, Plan, Target, plug};
use serde::{Deserialize, Serialize};

use crate::compile::{CompileError, binary};

/// What an input consists of that is more than one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// In their order.
    pub parts: Vec<Part>,
    pub linking: Linking,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// Who serves whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Linking {
    /// Decided when the image was built.
    Plan(Plan),
    /// The first runs; each of the others serves it and those that stand before.
    Plugs,
}

/// One component of those that `bytes` are, one after the other.
pub(crate) fn link(bytes: &[u8], parts: &Parts) -> Result<Vec<u8>, CompileError> {
    let short = || CompileError::Link("the input is shorter than its parts are said to be".to_owned());
    let mut rest = bytes;
    let mut wasm = Vec::new();
    for part in &parts.parts {
        let size = usize::try_from(part.size).map_err(|_| short())?;
        let (own, others) = rest.split_at_checked(size).ok_or_else(short)?;
        rest = others;
        let own = binary(own).map_err(|error| CompileError::Link(format!("«{}»: {error}", part.name)))?;
        wasm.push((part.name.as_str(), own));
    }
    let components: Vec<_> =
        wasm.iter().map(|(name, bytes)| Component { name, bytes: bytes.as_ref() }).collect();
    let linked = match (&parts.linking, components.split_first()) {
        (Linking::Plan(plan), _) => plan.compose(&components),
        (Linking::Plugs, Some((socket, plugs))) => {
            plug(*socket, plugs, Target::Any).map(|composed| composed.bytes)
        }
        (Linking::Plugs, None) => return Err(short()),
    };
    linked.map_err(|error| CompileError::Link(error.to_string()))
}
