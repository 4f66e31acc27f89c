//! A bundle: the folder that containerd made for a task, with the OCI runtime spec in `config.json`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use grants::sandbox_id;
use oci_spec::runtime::Spec;

use crate::command_line::check_name;
use crate::sandbox;

/// The largest spec that is read, in bytes; etcd and gRPC stop a pod's long before.
const MAX_SPEC: u64 = 16 << 20;

#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    spec: Spec,
}

impl Bundle {
    /// Reads the bundle's spec.
    pub fn read(path: &Path) -> Result<Bundle> {
        let config = path.join("config.json");
        let read = || -> Result<Spec> {
            let size = fs::metadata(&config)?.len();
            if size > MAX_SPEC {
                bail!("it has {size} bytes, more than {MAX_SPEC}");
            }
            Ok(serde_json::from_slice(&fs::read(&config)?)?)
        };
        let spec = read().with_context(|| format!("cannot read the OCI spec {}", config.display()))?;
        Ok(Bundle { path: path.to_owned(), spec })
    }

    /// The bundle of another task of the same containerd namespace, or of a sandbox of it.
    pub fn sibling(&self, id: &str) -> Result<Bundle> {
        check_name("the id of another task", id)?;
        let near = self.path.with_file_name(id);
        let path = if near.exists() { None } else { sandbox::bundle(&self.path, id) };
        Bundle::read(&path.unwrap_or(near))
    }

    /// A file that the sandbox service left for the containers of this one's pod.
    pub fn of_the_pod(&self, file: &str) -> Option<PathBuf> {
        let sandbox = sandbox_id(&self.spec).filter(|id| check_name("the id of a sandbox", id).is_ok())?;
        let path = sandbox::bundle(&self.path, sandbox)?.join(file);
        path.exists().then_some(path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The folder of the root file system: `root.path`, from the bundle where it is relative.
    pub fn rootfs(&self) -> PathBuf {
        self.path.join(self.spec.root().as_ref().map_or(Path::new("rootfs"), |root| root.path()))
    }
}
