//! What holds the namespaces that the native containers of a pod share, where other runtimes have a pause container.
//!
//! It is a host that never gets a guest: jailed before it reads anything, without a file, a capability or a network. As the
//! first process of a process namespace it reaps what its neighbours leave behind.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use grants::sysctls_beside_the_network;
use host::jail::Jail;
use host::protocol::Role;
use oci_spec::runtime::Spec;
use rustix::system::{setdomainname, sethostname};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::host_process::{HOLDER, HostProcess};
use crate::netns::Network;

/// It has its three streams and the channel.
const OPEN_FILES: u64 = 16;

/// Starts the holder of the pod whose sandbox has this id and spec. Must be called on the shim's main thread, with which it
/// ends.
pub async fn start(id: &str, sandbox: &Spec) -> Result<HostProcess> {
    let holder = HostProcess::start(HOLDER, id, None, &Network::New)?;
    let made = async {
        // While it still has the shim's user: its namespaces are entered by the files of its process.
        name(holder.pid(), sandbox)?;
        holder.enter(Jail::nobodys(OPEN_FILES), &Network::New, None, Role::Holder, None).await.map(drop)
    };
    match made.await {
        Ok(()) => Ok(holder),
        Err(error) => {
            holder.end().await;
            Err(error.context("cannot hold the pod's namespaces"))
        }
    }
}

/// Gives the namespaces what the pod's spec says of them: the host name, and the parameters of the kernel.
fn name(pid: i32, sandbox: &Spec) -> Result<()> {
    let (hostname, domainname) = (sandbox.hostname().clone(), sandbox.domainname().clone());
    let parameters = sysctls_beside_the_network(sandbox);
    // On a thread that is thrown away: it has left this process' namespaces for good.
    let thread = std::thread::Builder::new().name("holder".into()).spawn(move || -> Result<()> {
        let namespaces = Path::new("/proc").join(pid.to_string()).join("ns");
        for (file, kind) in [
            ("uts", LinkNameSpaceType::HostNameAndNISDomainName),
            ("ipc", LinkNameSpaceType::InterProcessCommunication),
        ] {
            move_into_link_name_space(File::open(namespaces.join(file))?.as_fd(), Some(kind))?;
        }
        if let Some(hostname) = hostname.filter(|name| !name.is_empty()) {
            sethostname(hostname.as_bytes())
                .with_context(|| format!("cannot set the host name {hostname:?}"))?;
        }
        if let Some(domainname) = domainname.filter(|name| !name.is_empty()) {
            setdomainname(domainname.as_bytes())
                .with_context(|| format!("cannot set the domain {domainname:?}"))?;
        }
        for (file, value) in &parameters {
            let file: PathBuf = Path::new("/proc/sys").join(file);
            fs::write(&file, value)
                .with_context(|| format!("cannot set {} to `{}`", file.display(), value.escape_debug()))?;
        }
        Ok(())
    });
    let named = thread.context("cannot start a thread")?.join();
    named.unwrap_or_else(|_| anyhow::bail!("the thread that names a pod's namespaces failed"))
}
