//! The sentence that a person reads in `kubectl describe pod` when a container cannot be created.

use thiserror::Error;

/// Why no grants could be derived. Every message names the place in the spec, the offending part and the cure.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrantError {
    #[error("config.json has no `{0}`; an OCI runtime spec of a Linux container needs it")]
    Missing(&'static str),

    #[error("args[{index}] (`{shown}`): {why}")]
    Argument { index: usize, shown: String, why: &'static str },

    #[error("env[{index}] (`{shown}`): {why}; write NAME=value")]
    Environment { index: usize, shown: String, why: &'static str },

    #[error("the working directory `{cwd}` {why}; write an absolute path such as `/app`")]
    WorkingDirectory { cwd: String, why: &'static str },

    #[error(
        "process.user has the id 4294967295, which no user or group has; choose another (`runAsUser`, `fsGroup`)"
    )]
    NoSuchUser,

    #[error(
        "the exec asks for the user {}:{}, and its container runs as {}:{}: every process of a container runs as its user",
        asked.0, asked.1, own.0, own.1
    )]
    ExecUser { asked: (u32, u32), own: (u32, u32) },

    #[error("the mount at `{destination}`: {why}")]
    Mount { destination: String, why: String },

    #[error("{field} of the spec: {why}")]
    Refused { field: &'static str, why: &'static str },

    #[error(
        "the container is native and {asks}, which would give it the node: leave that out; or have the node's config say \
         native = \"allow-privileged\""
    )]
    NativeOfTheNode { asks: String },

    #[error("the container is native: {why}")]
    Native { why: String },

    #[error("linux.sysctl of the spec: {name} {why}")]
    Sysctl { name: String, why: &'static str },

    #[error("annotation {annotation}: {why}; a right one is `{example}`")]
    Annotation { annotation: String, why: String, example: String },

    #[error(
        "annotation {annotation}: there is no key `{key}`{}; this release knows {known}",
        suggestion(nearest)
    )]
    UnknownKey { annotation: String, key: String, nearest: Option<String>, known: String },

    #[error(
        "the container asks for {asked}, and the strict profile has no network: what comes from it differs from run \
         to run; remove it, or write run.wasm/profile: standard"
    )]
    NetworkInStrict { asked: &'static str },

    #[error(
        "annotation {annotation} is for container `{container}`, but this container has no name (it does not come \
         from Kubernetes); write run.wasm/{key}"
    )]
    NamelessContainer { annotation: String, container: String, key: String },
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|key| format!(", did you mean {key}?")).unwrap_or_default()
}

/// Untrusted text as it may appear in a message: one line, no control characters, at most 80 characters.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    let mut out = String::new();
    for char in text.chars().take(LONGEST) {
        match char {
            // Quotes need no escape: messages put such text between backticks.
            '"' | '\'' => out.push(char),
            char => out.extend(char.escape_debug()),
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        out.push('…');
    }
    out
}

/// A library's message about untrusted text, which it may quote as it is: one line, no control characters, of bounded
/// length.
pub(crate) fn one_line(message: &str) -> String {
    const LONGEST: usize = 500;
    message.chars().take(LONGEST).map(|char| if char.is_control() { ' ' } else { char }).collect()
}
