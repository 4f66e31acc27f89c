//! `start`: finds or makes the shim that a container belongs to, and prints its address.
//!
//! All containers of a pod share the shim of its sandbox; all pods in shared mode share a manager. The socket is bound here and handed to the shim by fork,
//! so that the address is good the moment it is printed: connections wait in the backlog until the shim accepts.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use grants::{ContainerType, Mode, Policy};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::bootstrap::{self, Bootstrap};
use crate::command_line::Invocation;
use crate::daemon::{self, Setting};
use crate::fork::{Side, fork};
use crate::manager::{self, Manager};
use crate::node_config;
use crate::sandbox;
use crate::socket;
use crate::task::bundle::Bundle;

/// The file in a bundle from which containerd reads the address again after a restart.
const ADDRESS_FILE: &str = "address";

/// Answers containerd's `start`.
pub fn start(invocation: &Invocation) -> Result<()> {
    let mut stdin = Vec::new();
    io::stdin().read_to_end(&mut stdin).context("cannot read the bootstrap parameters")?;
    let bootstrap = bootstrap::read(&stdin, invocation);
    let policy = node_config::policy(bootstrap.options.as_ref())?;
    let Membership { mode, sandbox, group } = membership(invocation, &bootstrap, &policy)?;
    let manager = match mode {
        Mode::Normal => None,
        Mode::Shared => Some(manager_of(invocation, sandbox.as_ref(), &policy)?),
    };
    let folder = Path::new(bootstrap.socket_dir.as_deref().unwrap_or(socket::FOLDER));
    let socket = match &manager {
        Some(manager) => folder.join(&manager.name),
        None => socket_of(folder, invocation, &group),
    };
    let address = format!("unix://{}", socket.display());

    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let locked =
        socket::lock(folder).with_context(|| format!("cannot lock the folder {}", folder.display()))?;
    let listener = socket::listen(&socket)?;
    if let Some(manager) = &manager {
        manager.slots.take(&invocation.namespace, &invocation.id, &invocation.bundle)?;
    }
    drop(locked);
    let Some(listener) = listener else {
        // The shim is there already.
        return publish(invocation, &address);
    };
    match fork().context("cannot fork the shim")? {
        Side::Parent => publish(invocation, &address),
        Side::Child => {
            leave_the_caller()?;
            let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            let setting = Setting {
                namespace: invocation.namespace.clone(),
                bundle: invocation.bundle.clone(),
                socket,
                debug: invocation.debug || bootstrap.debug,
                ttrpc_address: bootstrap.ttrpc_address.or_else(|| environment("TTRPC_ADDRESS")),
                grpc_address: bootstrap
                    .grpc_address
                    .or_else(|| Some(invocation.address.clone()).filter(|address| !address.is_empty())),
                observe: policy.observe,
                manager,
            };
            daemon::run(listener, setting)
        }
    }
}

/// Which shim a task belongs to.
struct Membership {
    mode: Mode,
    /// The bundle of its pod's sandbox, where that is another.
    sandbox: Option<Bundle>,
    /// What all tasks of one shim have in common.
    group: String,
}

fn membership(invocation: &Invocation, bootstrap: &Bootstrap, policy: &Policy) -> Result<Membership> {
    if sandbox::is_bare(&invocation.bundle) {
        // The sandbox service will be told which pod it is. Until then its handler decides.
        sandbox::keep_options(&invocation.bundle, bootstrap.options.as_ref())?;
        let mode = policy.modes.first().copied().unwrap_or(Mode::Normal);
        return Ok(Membership { mode, sandbox: None, group: invocation.id.clone() });
    }
    let bundle = Bundle::read(&invocation.bundle)?;
    if grants::prewarm(bundle.spec(), &policy.modes)?.is_some() {
        // Whatever modes it compiles for: a manager would stay.
        return Ok(Membership { mode: Mode::Normal, sandbox: None, group: invocation.id.clone() });
    }
    let sandbox = sandbox_of(&bundle)?;
    let mode = grants::mode(sandbox.as_ref().unwrap_or(&bundle).spec(), policy)?;
    let group = grants::sandbox_id(bundle.spec()).unwrap_or(&invocation.id).to_owned();
    Ok(Membership { mode, sandbox, group })
}

/// The socket of the shim that serves a group.
fn socket_of(folder: &Path, invocation: &Invocation, group: &str) -> PathBuf {
    folder.join(socket::name(&format!("{}/{}/{group}", invocation.address, invocation.namespace)))
}

/// The socket of the shim that was started for this very container, or for the pod whose sandbox it is.
pub fn own_socket(invocation: &Invocation) -> PathBuf {
    socket_of(Path::new(socket::FOLDER), invocation, &invocation.id)
}

/// The bundle of the sandbox that a container of a pod belongs to.
fn sandbox_of(bundle: &Bundle) -> Result<Option<Bundle>> {
    match (grants::container_type(bundle.spec()), grants::sandbox_id(bundle.spec())) {
        (ContainerType::Container, Some(id)) => {
            Ok(Some(bundle.sibling(id).context("the sandbox of this container's pod")?))
        }
        _ => Ok(None),
    }
}

/// The manager that serves a pod: the one that has its sandbox, while that lives; else this release's.
fn manager_of(invocation: &Invocation, sandbox: Option<&Bundle>, policy: &Policy) -> Result<Manager> {
    let serves = |socket: &PathBuf| UnixStream::connect(socket).is_ok();
    let socket = sandbox.and_then(|sandbox| address_of(sandbox.path())).filter(serves);
    let name = socket.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).map(str::to_owned);
    let name = name.map_or_else(|| manager::name(&invocation.address), Ok)?;
    Manager::new(name, policy.shared.idle_exit)
}

/// The socket of a bundle's shim.
pub fn address_of(bundle: &Path) -> Option<PathBuf> {
    let address = fs::read_to_string(bundle.join(ADDRESS_FILE)).ok()?;
    Some(PathBuf::from(address.trim_start_matches("unix://")))
}

/// Writes the address where containerd looks for it: the bundle (containerd 1.7 leaves that to the shim) and stdout.
fn publish(invocation: &Invocation, address: &str) -> Result<()> {
    let file = invocation.bundle.join(ADDRESS_FILE);
    fs::write(&file, address).with_context(|| format!("cannot write {}", file.display()))?;
    let mut stdout = io::stdout();
    stdout.write_all(address.as_bytes())?;
    Ok(stdout.flush()?)
}

/// containerd reads `start`'s stdout and stderr to their end: the shim must not hold them, nor the caller's session.
fn leave_the_caller() -> Result<()> {
    rustix::process::setsid().context("cannot start a session")?;
    let null =
        fs::OpenOptions::new().read(true).write(true).open("/dev/null").context("cannot open /dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    std::env::set_current_dir("/").context("cannot enter /")
}
