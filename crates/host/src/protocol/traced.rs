//! Requests that are part of traces.

use serde::{Deserialize, Serialize};

/// What a server did for a request whose client traces it: an OpenTelemetry span, with ids as W3C Trace Context has them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traced {
    pub trace: [u8; 16],
    /// The client's span.
    pub parent: [u8; 8],
    pub span: [u8; 8],
    pub method: String,
    pub path: String,
    /// The answer's code; 499: the client went away before there was one.
    pub status: u16,
    /// Nanoseconds since 1970, and what it took to the end of the answer.
    pub begun: u64,
    pub took: u64,
}

impl Traced {
    /// The longest method and path, in bytes.
    pub const LONGEST: usize = 256;

    /// So many fit into a message.
    pub const MOST: usize = 32;
}
