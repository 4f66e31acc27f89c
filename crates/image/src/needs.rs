//! The grants that a component may need, by what it imports and exports.
//!
//! Imports are only an upper bound: many compilers import sockets for a program that never opens one. So nothing here is a
//! grant; it is what somebody who grants should think about.

use serde::Serialize;

use crate::Kind;
use crate::compose::provides;
use crate::inspect::{Inspection, World};

/// Something that a pod's spec may have to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// A port that it answers HTTP on: `ports`.
    HttpPort,
    /// HTTP requests of its own: `run.wasm/egress`.
    HttpEgress,
    /// Sockets: `run.wasm/egress`, and `ports` where it listens.
    Sockets,
    /// Files: `volumeMounts`.
    Files,
    /// Variables by name: `env`.
    Config,
    /// A component that exports what no node provides: `run.wasm/plug`.
    Plug,
}

const NEEDS: [(&str, Need); 11] = [
    ("wasi:config/store", Need::Config),
    ("wasi:filesystem/preopens", Need::Files),
    ("wasi:http/client", Need::HttpEgress),
    ("wasi:http/outgoing-handler", Need::HttpEgress),
    ("wasi:sockets/instance-network", Need::Sockets),
    ("wasi:sockets/ip-name-lookup", Need::Sockets),
    ("wasi:sockets/tcp", Need::Sockets),
    ("wasi:sockets/tcp-create-socket", Need::Sockets),
    ("wasi:sockets/udp", Need::Sockets),
    ("wasi:sockets/udp-create-socket", Need::Sockets),
    // WASI 0.3 has all of its sockets here.
    ("wasi:sockets/types", Need::Sockets),
];

impl Need {
    /// What `seen` may need, each once, with the import or export that says so.
    pub fn of(seen: &Inspection) -> Vec<(Need, String)> {
        let mut needs = Vec::new();
        if let World::HttpServer(export) = &seen.world {
            needs.push((Need::HttpPort, export.clone()));
        }
        for import in &seen.imports {
            let interface = import.name.split_once('@').map_or(import.name.as_str(), |(name, _)| name);
            // A module of preview 1 has files and nothing else that a spec could give.
            let interface = match interface {
                "wasi_snapshot_preview1::fd_prestat_get" => "wasi:filesystem/preopens",
                other => other,
            };
            if let Some((_, need)) = NEEDS.iter().find(|(known, _)| *known == interface) {
                needs.push((*need, import.name.clone()));
            } else if seen.kind == Kind::Component && import.kind != "type" && !provides(&import.name) {
                needs.push((Need::Plug, import.name.clone()));
            }
        }
        needs.sort();
        needs.dedup_by_key(|(need, _)| *need);
        needs
    }

    /// What gives it, as a line of a pod's YAML.
    pub fn example(self) -> &'static str {
        match self {
            Need::HttpPort => "ports: [{ containerPort: 8080 }]",
            Need::HttpEgress => "run.wasm/egress: \"https://api.example.com\"",
            Need::Sockets => "run.wasm/egress: \"db.example.com:5432\"",
            Need::Files => "volumeMounts: [{ name: data, mountPath: /data, readOnly: true }]",
            Need::Config => "env: [{ name: KEY, value: \"…\" }]",
            Need::Plug => "run.wasm/plug: \"/deps/other.wasm\"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(text: &str) -> Vec<Need> {
        let seen = crate::inspect(&wat::parse_str(text).unwrap()).unwrap();
        Need::of(&seen).into_iter().map(|(need, _)| need).collect()
    }

    #[test]
    fn imports_of_every_release_tell_what_may_be_needed() {
        let importing = |name: &str| needs(&format!(r#"(component (import "{name}" (instance)))"#));
        assert_eq!(importing("wasi:http/outgoing-handler@0.2.3"), [Need::HttpEgress]);
        assert_eq!(importing("wasi:http/client@0.3.0"), [Need::HttpEgress]);
        assert_eq!(importing("wasi:sockets/types@0.3.0"), [Need::Sockets]);
        assert_eq!(importing("wasi:config/store@0.2.0-rc.1"), [Need::Config]);
        assert_eq!(importing("wasi:cli/stdout@0.2.0"), []);
        assert_eq!(importing("a:math/add@0.1.0"), [Need::Plug]);
        assert_eq!(importing("wasi:cli/stdout@0.4.0"), [Need::Plug]);
        assert_eq!(
            needs(r#"(module (import "wasi_snapshot_preview1" "fd_prestat_get" (func)))"#),
            [Need::Files]
        );
    }

    #[test]
    fn a_need_is_told_once_and_the_port_first() {
        let text = r#"(component
            (import "wasi:sockets/tcp-create-socket@0.2.0" (instance))
            (import "wasi:sockets/udp-create-socket@0.2.0" (instance))
            (instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i)))"#;
        assert_eq!(needs(text), [Need::HttpPort, Need::Sockets]);
    }
}
