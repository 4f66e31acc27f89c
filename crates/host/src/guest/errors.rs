//! Why a guest cannot be started.

use std::io;

/// One sentence that names the thing and the cure.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The Wasm must be compiled again; nothing is wrong with the Wasm itself.
    #[error("the compiled code is not of this engine: {0}")]
    Stale(String),
    #[error("cannot make the engine: {0}")]
    Engine(String),
    #[error("cannot open the compiled code: {0}")]
    Code(io::Error),
    #[error("cannot use the standard streams: {0}")]
    Stdio(io::Error),
    #[error("cannot open the root filesystem: {0}")]
    Root(String),
    #[error("the Wasm imports {missing}; {provided}: build it for these, or compose it with what it misses")]
    Import { missing: String, provided: &'static str },
    #[error(
        "the component serves HTTP, and the strict profile has no network: write run.wasm/profile: standard"
    )]
    ServesInStrict,
    #[error(
        "the annotation run.wasm/egress grants `{rule}`, but names cannot be looked up: the container {why}; grant an \
         address such as 10.0.0.7:443, or give it the file (Kubernetes mounts one into every pod)"
    )]
    Lookup { rule: String, why: String },
    #[error("the Wasm has nothing to run: {expected}; it exports {exports}")]
    World { exports: String, expected: &'static str },
    #[error("there is no function `{wanted}` in the Wasm; its functions are {functions}")]
    NoFunction { wanted: String, functions: String },
    #[error("the function `{function}` takes parameters ({parameters}); only a function without can be run")]
    Parameters { function: String, parameters: String },
}

impl PrepareError {
    /// From what Wasmtime says of a component or module that does not link.
    ///
    /// Its outermost message has the import's name in backticks, its innermost one what is wrong with it.
    pub(super) fn import(error: &wasmtime::Error, provided: &'static str) -> Self {
        let (message, cause) = (error.to_string(), error.root_cause().to_string());
        let missing = match message.split('`').nth(1) {
            Some(name) if cause == message => format!("`{name}`, which this host does not have"),
            Some(name) => format!("`{name}`, which this host does not have ({cause})"),
            None => format!("what this host does not have ({error:#})"),
        };
        Self::Import { missing, provided }
    }
}

/// `a, b and c`, each in backticks, or `nothing`.
pub(super) fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
