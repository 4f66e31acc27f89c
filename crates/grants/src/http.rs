//! What a container's HTTP server is given: its port, and how much it does at once, how long, how large.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Transport;
use crate::error::shown;
use crate::listen::{Port, port_number};

/// Where a server listens whose pod says nothing of ports.
pub const DEFAULT_PORT: NonZeroU16 = NonZeroU16::new(8080).unwrap();

/// How long a guest may let its client wait, when the pod says nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Instances of one server at once, when the pod says nothing, and the most that it may say.
pub const DEFAULT_INSTANCES: NonZeroU32 = NonZeroU32::new(128).unwrap();
pub const MOST_INSTANCES: u32 = 1000;

/// Requests that one instance may answer at once.
pub const MOST_AT_ONCE: u32 = 1000;

/// How a server works, should the Wasm be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Http {
    pub port: NonZeroU16,
    /// How many requests an instance answers before it is dropped; `None`: as many as its WASI release's servers do.
    pub reuse: Option<NonZeroU32>,
    /// How many of them at once; `None` as above.
    pub concurrency: Option<NonZeroU32>,
    pub max_instances: NonZeroU32,
    /// How long an answer may take to begin, and then to go on.
    pub timeout: Duration,
    /// The largest body of a request, in bytes; `None`: any, as it flows.
    pub max_body: Option<u64>,
    /// Whether each request is a line on the container's stderr.
    pub access_log: bool,
    /// Whether requests are told that are part of a trace: the node's own wish.
    pub traced: bool,
}

impl Http {
    /// The port of a server whose pod names none: the first that its container declares for TCP.
    pub(crate) fn port(declared: &[Port]) -> NonZeroU16 {
        let first = declared.iter().find(|port| port.transport == Transport::Tcp);
        first.map_or(DEFAULT_PORT, |port| port.number)
    }
}

/// A whole number from 1 to `most`.
pub(crate) fn count(text: &str, most: u32) -> Result<NonZeroU32, String> {
    let text = text.trim();
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<NonZeroU32>().ok());
    number
        .flatten()
        .filter(|number| number.get() <= most)
        .ok_or_else(|| format!("`{}` is not a whole number from 1 to {most}", shown(text)))
}

/// A port without a transport: a server's is TCP.
pub(crate) fn port(text: &str) -> Result<NonZeroU16, String> {
    let text = text.trim();
    port_number(text).ok_or_else(|| format!("`{}` is no port; ports are 1 to 65535", shown(text)))
}

/// `on` or `off`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.trim() {
        "on" => Ok(true),
        "off" => Ok(false),
        other => Err(format!("`{}` is neither `on` nor `off`", shown(other))),
    }
}
