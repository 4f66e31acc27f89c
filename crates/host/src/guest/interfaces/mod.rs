//! The WASI interfaces of this host, each linked only for components that import it: to link all of them would take
//! longer than most commands run.

mod config;
mod logging;
mod p2;
mod p3;

use std::collections::BTreeSet;

use grants::{Clock, Grants, Profile};
use wasmtime::Result;
use wasmtime::component::{Component, Linker};

use super::state::ComponentState;
use super::{clock, deny, strict};

/// What every component finds here, granted or not: what is not granted denies access when it is called.
pub(super) const PROVIDED: &str = "components find wasi:cli, wasi:clocks, wasi:filesystem, wasi:http, wasi:io, \
                                   wasi:random and wasi:sockets here, version 0.2.12 or an earlier 0.2, and all of \
                                   them but wasi:io in version 0.3.0; also wasi:config/store@0.2.0-rc.1 and \
                                   wasi:logging/logging";

/// Its name without a version, and what links it.
type Interface = (&'static str, fn(&mut Linker<ComponentState>) -> Result<()>);

/// By release, with this host's version of it, with which a linker serves all components of that 0.x.
const RELEASES: [(&str, &str, &[Interface]); 2] =
    [("0.2", "0.2.12", p2::INTERFACES), ("0.3", "0.3.0", p3::INTERFACES)];

/// Proposals, by the whole name of the one version that there is of each.
const PROPOSALS: [Interface; 3] = [
    (config::STORE, config::store),
    (logging::UNVERSIONED, logging::unversioned),
    (logging::DRAFT, logging::draft),
];

/// A linker with what `component` imports, as far as this host has it, and as `grants` have it.
pub(super) fn linker(component: &Component, grants: &Grants) -> Result<Linker<ComponentState>> {
    let mut linker = Linker::new(component.engine());
    let ty = component.component_type();
    for (name, link) in PROPOSALS {
        if ty.imports(component.engine()).any(|(import, _)| import == name) {
            link(&mut linker)?;
        }
    }
    // A composed component may import one interface in several versions of a release.
    let imports: BTreeSet<_> =
        ty.imports(component.engine()).filter_map(|(name, _)| released(name)).collect();
    for (release, version, interfaces) in RELEASES {
        for (name, link) in interfaces.iter().filter(|(name, _)| imports.contains(&(*name, release))) {
            link(&mut linker)?;
            restrict(&mut linker, &format!("{name}@{version}"), grants)?;
        }
    }
    Ok(linker)
}

/// Puts what the grants have in the place of what everybody has.
fn restrict(linker: &mut Linker<ComponentState>, interface: &str, grants: &Grants) -> Result<()> {
    linker.allow_shadowing(true);
    if grants.profile() == Profile::Strict {
        strict::determine(linker, interface)?;
    }
    if grants.clock() == Clock::Frozen {
        clock::freeze(linker, interface)?;
    }
    deny::component(linker, interface, grants)?;
    linker.allow_shadowing(false);
    Ok(())
}

/// `wasi:cli/exit@0.2.3` as `wasi:cli/exit` of release `0.2`.
fn released(import: &str) -> Option<(&str, &str)> {
    let (name, version) = import.split_once('@')?;
    version.rsplit_once('.').map(|(release, _)| (name, release))
}
