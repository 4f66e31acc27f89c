//! Components that serve HTTP, in WASI 0.2 and 0.3, under containerd 1.7 and 2.1: what they answer, what their clients may do
//! to them, what they may do to their clients, and how they end.

#[path = "http/clients.rs"]
mod clients;
#[path = "http/conformance.rs"]
mod conformance;
#[path = "http/ends.rs"]
mod ends;
#[path = "http/failures.rs"]
mod failures;
#[path = "http/instances.rs"]
mod instances;
#[path = "http/languages.rs"]
mod languages;
#[path = "http/observed.rs"]
mod observed;
#[path = "http/outgoing.rs"]
mod outgoing;
#[path = "http/pods.rs"]
mod pods;
#[path = "http/serving.rs"]
mod serving;

/// The server that does as its path says, for either release of WASI.
const BOTH: [&str; 2] = ["serve.wasm", "serve.p3.wasm"];
