//! Parameters of the kernel that a pod sets for itself (`securityContext.sysctls`), and those that containerd sets for
//! every pod, such as the lowest port that needs no privilege.

use std::collections::BTreeMap;

use oci_spec::runtime::Spec;

use crate::error::{GrantError, shown};
use crate::identity::{NetNs, network_namespace};

/// Of namespaces that a guest has no use for: it asks for no host name and shares no memory. Native containers of a pod do.
const OF_IPC_AND_UTS: [&str; 6] =
    ["fs/mqueue/", "kernel/domainname", "kernel/hostname", "kernel/msg", "kernel/sem", "kernel/shm"];

/// Those of `spec` that are to be set in its network namespace: files below `/proc/sys`, such as
/// `net/ipv4/ip_unprivileged_port_start`, with what to write into them.
///
/// # Errors
/// A parameter that is not of a namespace, or would be the node's own.
pub fn sysctls(spec: &Spec) -> Result<Vec<(String, String)>, GrantError> {
    let mut files = Vec::new();
    for (name, value) in all(spec) {
        let wrong = |why| GrantError::Sysctl { name: shown(name), why };
        let file = file(name)
            .ok_or_else(|| wrong("is no name of a parameter; write one such as net.core.somaxconn"))?;
        match file.split_once('/') {
            Some(("net", _)) => {}
            _ if OF_IPC_AND_UTS.iter().any(|known| file.starts_with(known)) => continue,
            _ => return Err(wrong("is the node's, not the pod's; a pod may set those of net.*")),
        }
        match network_namespace(spec) {
            NetNs::Path(_) => files.push((file, value.clone())),
            NetNs::Node => {
                return Err(wrong(
                    "would be the node's own, as the pod has the node's network; leave it or `hostNetwork` out",
                ));
            }
            NetNs::New => {
                return Err(wrong(
                    "needs a network namespace that is there already, as a pod's is; leave it out",
                ));
            }
        }
    }
    Ok(files)
}

/// Those that are to be set in the IPC and UTS namespaces of a pod's native containers, in the same form.
pub fn sysctls_beside_the_network(spec: &Spec) -> Vec<(String, String)> {
    let files = all(spec).filter_map(|(name, value)| Some((file(name)?, value.clone())));
    files.filter(|(file, _)| OF_IPC_AND_UTS.iter().any(|known| file.starts_with(known))).collect()
}

/// Sorted, so that of several mistakes always the same one is reported.
fn all(spec: &Spec) -> impl Iterator<Item = (&String, &String)> {
    let all = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    all.into_iter().flatten().collect::<BTreeMap<_, _>>().into_iter()
}

/// The file of a parameter. Its name has dots between its parts, or slashes, as sysctl(8) has it: the first of either
/// decides, and the other stands for a dot inside of a part, such as the name of an interface.
fn file(name: &str) -> Option<String> {
    let dotted = name
        .find(['.', '/'])
        .is_some_and(|first| name.get(first..).is_some_and(|rest| rest.starts_with('.')));
    let swapped = |char| match char {
        '.' => '/',
        '/' => '.',
        char => char,
    };
    let file = if dotted { name.chars().map(swapped).collect() } else { name.to_owned() };
    let is_part = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    file.split('/').all(is_part).then_some(file)
}
