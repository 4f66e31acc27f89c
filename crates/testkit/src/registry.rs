//! A registry on the loopback address of a nest.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};

use crate::containerd::Containerd;
use crate::environment::folder;
use crate::nest::Nest;
use crate::patience::eventually;
use crate::peers::Authority;

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
        Registry::at(nest, ADDRESS, "")
    }

    /// One with the same content as that of [`Registry::start`], by TLS, at the usual port of `host`, an address of the nest.
    pub fn secure(nest: &'a Nest, host: &str, authority: &Authority) -> Result<Registry<'a>> {
        let (certificate, key) = authority.certificate(host)?;
        let file = |name: &str| nest.folder().join(name);
        fs::write(file("registry.pem"), certificate)?;
        fs::write(file("registry.key"), key)?;
        let tls = format!(
            ", tls: {{certificate: {}, key: {}}}",
            file("registry.pem").display(),
            file("registry.key").display()
        );
        Registry::at(nest, &format!("{host}:443"), &tls)
    }

    fn at(nest: &'a Nest, address: &str, tls: &str) -> Result<Registry<'a>> {
        let config = nest.folder().join(format!("registry-{address}.yaml"));
        let storage = nest.folder().join("registry");
        fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: error}}\nhttp: {{addr: \"{address}\"{tls}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n",
                storage.display()
            ),
        )?;
        let daemon = nest
            .command(folder("REGISTRY_BIN")?.join("docker-registry"))
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(nest.folder().join(format!("registry-{address}.log")))?)
            .spawn()
            .context("cannot start docker-registry")?;
        let registry = Registry { nest, daemon };
        eventually("the registry answers", 30, || {
            Ok(nest.in_network(|| TcpStream::connect(address))?.is_ok())
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

    /// Ends it, and any other registry of the nest.
    pub fn stop(mut self) -> Result<()> {
        for process in self.nest.processes()?.iter().filter(|process| process.name == "docker-registry") {
            self.nest.end(process, rustix::process::Signal::TERM)?;
        }
        self.daemon.wait()?;
        Ok(())
    }
}
