//! The WASI interfaces of this host, each linked only for components that import it: to link all of them would take
//! longer than most commands run.

mod p2;
mod p3;

use std::collections::BTreeSet;

use wasmtime::Result;
use wasmtime::component::{Component, Linker};

use super::state::ComponentState;

/// What every component finds here, granted or not: what is not granted denies access when it is called.
pub(super) const PROVIDED: &str = "components find wasi:cli, wasi:clocks, wasi:filesystem, wasi:http, wasi:io, \
                                   wasi:random and wasi:sockets here, version 0.2.12 or an earlier 0.2, and all of \
                                   them but wasi:io in version 0.3.0";

/// Its name without a version, and what links it.
type Interface = (&'static str, fn(&mut Linker<ComponentState>) -> Result<()>);

/// By release: a linker serves all components of one 0.x with its own version of it.
const RELEASES: [(&str, &[Interface]); 2] = [("0.2", p2::INTERFACES), ("0.3", p3::INTERFACES)];

/// A linker with what `component` imports, as far as this host has it.
pub(super) fn linker(component: &Component) -> Result<Linker<ComponentState>> {
    let mut linker = Linker::new(component.engine());
    let ty = component.component_type();
    // A composed component may import one interface in several versions of a release.
    let imports: BTreeSet<_> =
        ty.imports(component.engine()).filter_map(|(name, _)| released(name)).collect();
    for (release, interfaces) in RELEASES {
        for (_, link) in interfaces.iter().filter(|(name, _)| imports.contains(&(*name, release))) {
            link(&mut linker)?;
        }
    }
    Ok(linker)
}

/// `wasi:cli/exit@0.2.3` as `wasi:cli/exit` of release `0.2`.
fn released(import: &str) -> Option<(&str, &str)> {
    let (name, version) = import.split_once('@')?;
    version.rsplit_once('.').map(|(release, _)| (name, release))
}
