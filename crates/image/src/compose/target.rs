//! What a node provides to a component, and what it can run.

use super::ComposeError;
use crate::inspect::World;

/// What the composed component is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Target {
    /// Whatever its exports say.
    #[default]
    Any,
    /// `wasi:cli/command`: it exports `wasi:cli/run`.
    Command,
    /// `wasi:http/proxy`: it exports `wasi:http/incoming-handler` (0.2) or `wasi:http/handler` (0.3).
    Server,
}

/// Interfaces by the release of WASI that has them. `crates/host` links these.
const RELEASES: [(&str, &[&str]); 2] = [
    (
        "0.2",
        &[
            "wasi:cli/environment",
            "wasi:cli/exit",
            "wasi:cli/stderr",
            "wasi:cli/stdin",
            "wasi:cli/stdout",
            "wasi:cli/terminal-input",
            "wasi:cli/terminal-output",
            "wasi:cli/terminal-stderr",
            "wasi:cli/terminal-stdin",
            "wasi:cli/terminal-stdout",
            "wasi:clocks/monotonic-clock",
            "wasi:clocks/wall-clock",
            "wasi:filesystem/preopens",
            "wasi:filesystem/types",
            "wasi:http/outgoing-handler",
            "wasi:http/types",
            "wasi:io/error",
            "wasi:io/poll",
            "wasi:io/streams",
            "wasi:random/insecure",
            "wasi:random/insecure-seed",
            "wasi:random/random",
            "wasi:sockets/instance-network",
            "wasi:sockets/ip-name-lookup",
            "wasi:sockets/network",
            "wasi:sockets/tcp",
            "wasi:sockets/tcp-create-socket",
            "wasi:sockets/udp",
            "wasi:sockets/udp-create-socket",
        ],
    ),
    (
        "0.3",
        &[
            "wasi:cli/environment",
            "wasi:cli/exit",
            "wasi:cli/stderr",
            "wasi:cli/stdin",
            "wasi:cli/stdout",
            "wasi:cli/terminal-input",
            "wasi:cli/terminal-output",
            "wasi:cli/terminal-stderr",
            "wasi:cli/terminal-stdin",
            "wasi:cli/terminal-stdout",
            "wasi:cli/types",
            "wasi:clocks/monotonic-clock",
            "wasi:clocks/system-clock",
            "wasi:clocks/types",
            "wasi:filesystem/preopens",
            "wasi:filesystem/types",
            "wasi:http/client",
            "wasi:http/types",
            "wasi:random/insecure",
            "wasi:random/insecure-seed",
            "wasi:random/random",
            "wasi:sockets/ip-name-lookup",
            "wasi:sockets/types",
        ],
    ),
];

/// Proposals, in the one version that there is of each.
const PROPOSALS: [&str; 3] =
    ["wasi:config/store@0.2.0-rc.1", "wasi:logging/logging", "wasi:logging/logging@0.1.0-draft"];

/// Whether a node provides what is imported by this name. What it denies at the call is provided, too.
pub fn provides(import: &str) -> bool {
    if PROPOSALS.contains(&import) {
        return true;
    }
    let Some((interface, version)) = import.split_once('@') else { return false };
    let Ok(version) = semver::Version::parse(version) else { return false };
    let release = format!("{}.{}", version.major, version.minor);
    version.pre.is_empty()
        && RELEASES
            .iter()
            .any(|(known, interfaces)| *known == release && interfaces.binary_search(&interface).is_ok())
}

/// Part of a sentence: what a node provides.
pub const PROVIDED: &str = "a node provides wasi:cli, clocks, filesystem, http, io, random and sockets of WASI 0.2 and 0.3, \
                            wasi:config/store@0.2.0-rc.1 and wasi:logging/logging";

impl Target {
    /// Whether a component that runs as `world` is what was asked for.
    pub(super) fn check(self, root: &str, world: &World) -> Result<(), ComposeError> {
        let (fits, name, wanted) = match self {
            Target::Any => return Ok(()),
            Target::Command => (matches!(world, World::Command(_)), "wasi:cli/command", "wasi:cli/run"),
            Target::Server => (
                matches!(world, World::HttpServer(_)),
                "wasi:http/proxy",
                "wasi:http/incoming-handler of 0.2, or wasi:http/handler of 0.3, and no wasi:cli/run",
            ),
        };
        if fits {
            return Ok(());
        }
        let found = match world {
            World::Command(by) | World::HttpServer(by) => by.clone(),
            World::Functions(names) => super::names::listed(names.iter().map(String::as_str)),
            World::None => "nothing that can be run".into(),
        };
        Err(ComposeError::World { root: root.into(), found, world: name, wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_patch_of_a_release_is_provided_and_no_other_release() {
        for known in ["wasi:cli/exit@0.2.0", "wasi:cli/exit@0.2.12", "wasi:http/client@0.3.0"] {
            assert!(provides(known), "{known}");
        }
        for unknown in [
            "wasi:cli/exit",
            "wasi:cli/exit@0.4.0",
            "wasi:cli/exit@0.3.0-rc.1",
            "wasi:http/client@0.2.0",
            "a:b/c",
        ] {
            assert!(!provides(unknown), "{unknown}");
        }
        assert!(provides("wasi:logging/logging") && !provides("wasi:config/store@0.2.0"));
    }

    /// The host cannot be asked, as nothing here may need an engine; its source can.
    #[test]
    fn what_is_provided_is_what_the_host_links() {
        let linked = |source: &'static str| -> Vec<&str> {
            let mut names: Vec<&str> =
                source.split("(\"wasi:").skip(1).filter_map(|rest| rest.split('"').next()).collect();
            names.sort_unstable();
            names
        };
        let hosts = [
            include_str!("../../../host/src/guest/interfaces/p2.rs"),
            include_str!("../../../host/src/guest/interfaces/p3.rs"),
        ];
        for ((release, interfaces), host) in RELEASES.iter().zip(hosts) {
            // It has nothing but a type, which nobody needs to link.
            let ours: Vec<&str> = interfaces
                .iter()
                .filter(|name| **name != "wasi:cli/types")
                .map(|name| name.trim_start_matches("wasi:"))
                .collect();
            assert_eq!(ours, linked(host), "WASI {release}");
        }
        let proposals = [
            include_str!("../../../host/src/guest/interfaces/config.rs"),
            include_str!("../../../host/src/guest/interfaces/logging.rs"),
        ];
        for proposal in PROPOSALS {
            assert!(proposals.iter().any(|source| source.contains(&format!("\"{proposal}\""))), "{proposal}");
        }
    }

    #[test]
    fn the_tables_are_sorted_as_the_search_in_them_needs() {
        assert!(RELEASES.iter().all(|(_, interfaces)| interfaces.is_sorted()));
    }
}
