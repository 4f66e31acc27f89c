//! What a shim tells of what it does: lines of the log, metrics, traces.
//!
//! Whom it does it for is known around each poll of a future ([`about`]), so that nobody has to pass it on to where a line
//! is written.

mod lines;
pub mod metrics;
mod otlp;
pub mod scrape;
pub mod servers;
mod stage;
mod subject;
pub mod traces;

pub use lines::{Lines, forget, of_container};
pub use stage::{Stage, stage};
pub use subject::{Subject, about, current, named, resume};
