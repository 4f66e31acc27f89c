//! A registry on the loopback address of a nest.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};

use crate::containerd::Containerd;
use crate::environment::folder;
use crate::nest::Nest;
use crate::patience::eventually;

/// Registries on loopback addresses are spoken to without TLS.
const ADDRESS: &str = "127.0.0.1:5000";

/// A running registry; it ends with the nest at the latest.
#[derive(Debug)]
pub struct Registry<'a> {
    nest: &'a Nest,
    daemon: Child,
}

impl<'a> Registry<'a> {
    pub fn start(nest: &'a Nest) -> Result<Registry<'a>> {
        let config = nest.folder().join("registry.yaml");
        let storage = nest.folder().join("registry");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: \"{ADDRESS}\"}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n",
                storage.display()
            ),
        )?;
        let daemon = nest
            .command(folder("REGISTRY_BIN")?.join("docker-registry"))
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(nest.folder().join("registry.log"))?)
            .spawn()
            .context("cannot start docker-registry")?;
        let registry = Registry { nest, daemon };
        eventually("the registry answers", 30, || {
            Ok(nest.in_network(|| TcpStream::connect(ADDRESS))?.is_ok())
        })?;
        Ok(registry)
    }

    /// Pushes an imported image; the name under which it can be pulled. containerd forgets its own copy.
    pub fn push(&self, containerd: &Containerd, reference: &str) -> Result<String> {
        let (_, name) = reference.split_once('/').context("an image's name begins with its registry")?;
        let pushed = format!("{ADDRESS}/{name}");
        containerd.ctr(["images", "tag", reference, &pushed])?.success()?;
        containerd.ctr(["images", "push", "--plain-http", &pushed])?.success()?;
        containerd.ctr(["images", "rm", "--sync", reference, &pushed])?.success()?;
        Ok(pushed)
    }

    /// Ends it.
    pub fn stop(mut self) -> Result<()> {
        for process in self.nest.processes()?.iter().filter(|process| process.name == "docker-registry") {
            self.nest.end(process, rustix::process::Signal::TERM)?;
        }
        self.daemon.wait()?;
        Ok(())
    }
}
