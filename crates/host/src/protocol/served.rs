//! What a container has done that serves HTTP.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The upper ends of the buckets of [`Served::latencies`], in seconds.
pub const LATENCIES: [f64; 13] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Counts from its start on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// Requests that are over, by the status codes of their answers; 499: the client went away before there was one.
    pub requests: BTreeMap<u16, u64>,
    /// What they took from the head to the end of the answer, in seconds: the sum, and how many fall into each of
    /// [`LATENCIES`] and into none before it.
    pub seconds: f64,
    pub latencies: [u64; LATENCIES.len()],
    /// Requests that are not over, and instances that there are.
    pub in_flight: u64,
    pub instances: u64,
    /// Instances that ended by a failure, or could not begin.
    pub failures: u64,
}
