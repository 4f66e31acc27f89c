//! What a guest was denied, in the words that its host and its shim share.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of call was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Any socket at all, by a guest without any network.
    Socket,
    Connect,
    Send,
    Receive,
    Bind,
    Listen,
    /// The lookup of a name.
    Lookup,
    /// A request of `wasi:http`.
    Http,
    Clock,
    Random,
}

impl Kind {
    pub const ALL: [Kind; 10] = [
        Kind::Socket,
        Kind::Connect,
        Kind::Send,
        Kind::Receive,
        Kind::Bind,
        Kind::Listen,
        Kind::Lookup,
        Kind::Http,
        Kind::Clock,
        Kind::Random,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Socket => "socket",
            Kind::Connect => "connect",
            Kind::Send => "send",
            Kind::Receive => "receive",
            Kind::Bind => "bind",
            Kind::Listen => "listen",
            Kind::Lookup => "lookup",
            Kind::Http => "http",
            Kind::Clock => "clock",
            Kind::Random => "random",
        })
    }
}

/// How many calls of each kind were denied; none of a kind that is absent.
pub type Counts = BTreeMap<Kind, u64>;

/// A denied call as its host tells of it: the 1st of its kind, the 10th, the 100th and so on, so that a guest which
/// is denied for ever costs the shim next to nothing, and one that is killed has been counted all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    pub kind: Kind,
    /// How many of this kind there were by then, this one included.
    pub count: u64,
    /// What was denied, and the annotation or field of the pod that would allow it.
    pub sentence: String,
}
