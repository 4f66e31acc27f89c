//! Sets the kernel's parameters of a pod's network, such as the lowest port that needs no privilege: a host has none.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::netns::{self, Network};
use crate::task::bundle::Bundle;

/// Sets what the bundle's spec asks for. Pods ask in the spec of their sandbox.
pub fn apply(bundle: &Bundle) -> Result<()> {
    let parameters = grants::sysctls(bundle.spec())?;
    if parameters.is_empty() {
        return Ok(());
    }
    match Network::of(bundle)? {
        Network::Pod(netns) => {
            // `/proc/sys/net` is that of the thread that looks.
            netns::within(netns, move || set(&parameters))
        }
        // The grants refuse parameters of other networks.
        Network::Node | Network::New => Ok(()),
    }
}

fn set(parameters: &[(String, String)]) -> Result<()> {
    for (file, value) in parameters {
        let file = Path::new("/proc/sys").join(file);
        let mut open = File::options();
        open.write(true)
            .open(&file)
            .and_then(|mut parameter| parameter.write_all(value.as_bytes()))
            .with_context(|| format!("cannot set {} to `{}`", file.display(), value.escape_debug()))?;
    }
    Ok(())
}
