//! The attacks. Each is something that a guest must never do to the node; each answers what it reached.

#[path = "files.rs"]
mod files;
#[path = "kernel.rs"]
mod kernel;
#[path = "processes.rs"]
mod processes;
#[path = "sockets.rs"]
mod sockets;

use std::io;

use serde::{Deserialize, Serialize};

/// What is worth reaching.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bait {
    /// A file of the node that anybody may read and write.
    pub secret: String,
    /// A socket that anybody may connect to.
    pub socket: String,
    /// One without a file, in the node's network namespace.
    pub abstract_name: String,
    /// A TCP port on loopback.
    pub port: u16,
    /// The parent, as the node numbers it.
    pub victim: i32,
    /// Whether internet sockets were granted.
    pub network: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub tried: usize,
    pub reached: Vec<String>,
}

/// Collects the attempts.
pub struct Attacker {
    report: Report,
    jailed: bool,
}

impl Attacker {
    /// An attack that would harm the node if it succeeded: made only in the jail.
    fn harmful(&mut self, name: &str, attempt: impl FnOnce() -> io::Result<i64>) {
        if self.jailed {
            self.harmless(name, attempt);
        }
    }

    /// An attack that only looks, or harms the attacker alone.
    fn harmless(&mut self, name: &str, attempt: impl FnOnce() -> io::Result<i64>) {
        self.report.tried += 1;
        if let Ok(result) = attempt() {
            self.report.reached.push(format!("{name} -> {result}"));
        }
    }
}

/// Tries everything.
pub fn run(bait: &Bait, jailed: bool) -> Report {
    let mut attacker = Attacker { report: Report::default(), jailed };
    files::attack(&mut attacker, bait);
    sockets::attack(&mut attacker, bait);
    processes::attack(&mut attacker, bait);
    kernel::attack(&mut attacker);
    attacker.report
}

/// Nothing was found.
fn nothing() -> io::Result<i64> {
    Err(io::ErrorKind::NotFound.into())
}

/// How many of many attempts succeeded; none is a failure.
fn count(attempts: impl Iterator<Item = io::Result<i64>>) -> io::Result<i64> {
    match attempts.filter(Result::is_ok).count() {
        0 => nothing(),
        some => Ok(some as i64),
    }
}
