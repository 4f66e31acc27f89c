//! How a component or module is run, by what it exports.

use serde::Serialize;

use super::Item;
use crate::Kind;

/// The way of running, with the export that decides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "by", rename_all = "kebab-case")]
pub enum World {
    /// `wasi:cli/run`, or `_start` of a core module.
    Command(String),
    /// `wasi:http/incoming-handler` or `wasi:http/handler`.
    HttpServer(String),
    /// Functions of its own: run one as `path#function`.
    Functions(Vec<String>),
    /// Nothing that a container could run.
    None,
}

/// Interfaces that are run, on the semver tracks that exist of them.
const COMMANDS: [(&str, &str); 2] = [("wasi:cli/run", "0.2"), ("wasi:cli/run", "0.3")];
const SERVERS: [(&str, &str); 2] = [("wasi:http/incoming-handler", "0.2"), ("wasi:http/handler", "0.3")];

impl World {
    pub(crate) fn by_exports(kind: Kind, exports: &[Item]) -> World {
        let find = |known: &[(&str, &str)]| {
            exports.iter().find(|item| known.iter().any(|(name, track)| is_on_track(&item.name, name, track)))
        };
        let functions = || exports.iter().filter(|item| item.kind == "func");
        if kind == Kind::Module {
            if let Some(start) = functions().find(|item| item.name == "_start") {
                return World::Command(start.name.clone());
            }
        } else if let Some(command) = find(&COMMANDS) {
            return World::Command(command.name.clone());
        } else if let Some(server) = find(&SERVERS) {
            return World::HttpServer(server.name.clone());
        }
        // A reactor's initialiser and the allocator of the canonical ABI are for the runtime.
        let internal =
            |name: &str| kind == Kind::Module && (name == "_initialize" || name.starts_with("cabi_"));
        match functions().map(|item| item.name.clone()).filter(|name| !internal(name)).collect::<Vec<_>>() {
            none if none.is_empty() => World::None,
            names => World::Functions(names),
        }
    }
}

/// Whether `export` is interface `name` of a release `<track>.N`. Prereleases are on no track.
fn is_on_track(export: &str, name: &str, track: &str) -> bool {
    export
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('@'))
        .and_then(|rest| rest.strip_prefix(track))
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}
