//! Why components do not become one.

use super::wit::Difference;
use crate::Digest;

/// A sentence for the person who wires components.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    #[error("«{name}» has {size} bytes; the limit of a component is {limit}")]
    TooLarge { name: String, size: u64, limit: u64 },

    #[error("there are {found} components; the limit of one composition is {limit}")]
    TooMany { found: usize, limit: usize },

    #[error(
        "«{0}» is a core module and must be a component: build it for wasm32-wasip2, or wrap it by \
         `wasm-tools component new` with the adapter wasi_snapshot_preview1"
    )]
    Module(String),

    #[error("«{name}» is {found} and must be a component")]
    NoComponent { name: String, found: &'static str },

    #[error("«{name}» is no valid component: {why}")]
    Invalid { name: String, why: String },

    #[error("«{0}» is no name of a component: it must have 1 to 255 bytes and no control characters")]
    Name(String),

    #[error("two components are called «{0}»: rename one")]
    Twice(String),

    #[error("there is no component «{name}», only {known}")]
    Unknown { name: String, known: String },

    #[error(
        "the plan was made for «{name}» with the digest {expected}, and this one has {found}: compose anew"
    )]
    Changed { name: String, expected: Digest, found: Digest },

    #[error("«{to}» does not import {import}, only {known}")]
    NoImport { to: String, import: String, known: String },

    #[error("«{from}» does not export {export}, only {known}")]
    NoExport { from: String, export: String, known: String },

    #[error("{import} of «{to}» is given by «{first}» and by «{second}»: keep one")]
    LinkedTwice { to: String, import: String, first: String, second: String },

    #[error(
        "«{to}» imports {import}, and «{first}» as well as «{second}» export it: choose one, by a link of «{to}» or by \
         the order of the plugs"
    )]
    Ambiguous { to: String, import: String, first: String, second: String },

    #[error("«{to}» imports {import} and «{from}» exports {export} of another type: {difference}")]
    Mistyped { to: String, import: String, from: String, export: String, difference: Box<Difference> },

    #[error(
        "«{to}» imports {import} and «{from}» exports {export}: these versions are not compatible, so build one of them \
         with the other's"
    )]
    Version { to: String, import: String, from: String, export: String },

    #[error("nothing provides {0}: add components that export them")]
    Unmatched(String),

    #[error(
        "«{to}» imports {import}, which «{from}» exports and is plugged in before it: a plug serves what stands before, \
         so name it later"
    )]
    Order { to: String, import: String, from: String },

    #[error("these components need each other in a circle: {0}")]
    Cycle(String),

    #[error("nothing uses «{name}»: it exports {exports}; remove it, or link it")]
    Unused { name: String, exports: String },

    #[error("«{root}» exports {found}, and the world {world} wants {wanted}")]
    World { root: String, found: String, world: &'static str, wanted: &'static str },

    #[error(
        "«{first}» and «{second}» both import {import}, which a node provides once, with types that do not agree: {why}"
    )]
    Merge { first: String, second: String, import: String, why: String },

    #[error("the composition is not valid: {0}")]
    Broken(String),

    #[error(
        "a component uses types that cannot be composed yet: make it without its newest features, or compose by hand"
    )]
    Unsupported,
}
