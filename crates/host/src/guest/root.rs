//! A component's `/`: opened once, however many instances there are of it.

use std::fs::File;
use std::path::Path;

use grants::Grants;
use rustix::fs::{Mode, OFlags, open};
use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, Dir, OpenMode};
use wasmtime_wasi::p2::bindings::filesystem::preopens as preopens_p2;
use wasmtime_wasi::p3::bindings::filesystem::preopens as preopens_p3;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

use super::PrepareError;
use super::state::ComponentState;

#[derive(Clone)]
pub(super) struct Root(Dir);

impl Root {
    pub fn open(path: &Path, grants: &Grants) -> Result<Root, PrepareError> {
        let flags = OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty()).map_err(|error| PrepareError::Root(error.to_string()))?;
        let permissions = permissions(grants);
        let modes = match permissions {
            FsPerms::ReadOnly => OpenMode::READ,
            FsPerms::ReadWrite => OpenMode::READ | OpenMode::WRITE,
        };
        // As in `wasi::context`: what blocks it may block the thread.
        Ok(Root(Dir::new(File::from(root), permissions, modes, true)))
    }
}

/// What a guest may do below `/`. The kernel keeps a read-only root read-only, mount by mount. One preopen has one permission for
/// the root and for the volumes in it: it can say so as well only where none of them is writable.
fn permissions(grants: &Grants) -> FsPerms {
    let writable = grants.volumes().iter().any(|volume| !volume.readonly);
    if grants.root().readonly && !writable { FsPerms::ReadOnly } else { FsPerms::ReadWrite }
}

/// Opens it for a core module, whose WASI knows no other way.
pub(super) fn preopen(wasi: &mut WasiCtxBuilder, path: &Path, grants: &Grants) -> Result<(), PrepareError> {
    let opened = wasi.preopened_dir(path, "/", permissions(grants));
    opened.map(drop).map_err(|error| PrepareError::Root(format!("{error:#}")))
}

/// `wasi:filesystem/preopens` of a component.
struct Preopens<'a> {
    root: Option<&'a Root>,
    table: &'a mut ResourceTable,
}

struct OfComponent;

impl HasData for OfComponent {
    type Data<'a> = Preopens<'a>;
}

fn of(state: &mut ComponentState) -> Preopens<'_> {
    let (root, table) = state.files();
    Preopens { root, table }
}

impl Preopens<'_> {
    fn directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        let Some(Root(root)) = self.root else { return Ok(Vec::new()) };
        Ok(vec![(self.table.push(Descriptor::Dir(root.clone()))?, "/".to_owned())])
    }
}

impl preopens_p2::Host for Preopens<'_> {
    fn get_directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        self.directories()
    }
}

impl preopens_p3::Host for Preopens<'_> {
    fn get_directories(&mut self) -> Result<Vec<(Resource<Descriptor>, String)>> {
        self.directories()
    }
}

pub(super) fn p2(linker: &mut Linker<ComponentState>) -> Result<()> {
    preopens_p2::add_to_linker::<_, OfComponent>(linker, of)
}

pub(super) fn p3(linker: &mut Linker<ComponentState>) -> Result<()> {
    preopens_p3::add_to_linker::<_, OfComponent>(linker, of)
}
