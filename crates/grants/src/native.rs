//! What a container that is no Wasm may ask of a node: all that Kubernetes lets it, but for the node itself.
//!
//! Nothing of [`Grants`](crate::Grants) holds for it: the kernel and the OCI runtime keep it apart, as they keep any
//! container apart.

use oci_spec::runtime::{Capability, LinuxNamespaceType, Spec};

use crate::error::GrantError;
use crate::identity::{container_name, has_the_nodes};
use crate::policy::{Native, Policy};

/// Capabilities that are as good as the node: with one of them its kernel, its devices or its files are the container's.
const OF_THE_NODE: [Capability; 9] = [
    Capability::SysAdmin,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysBoot,
    Capability::SysTime,
    Capability::DacReadSearch,
    Capability::MacAdmin,
    Capability::MacOverride,
    Capability::Bpf,
];

/// Whether what `args` names claims to be Wasm: by a name that ends in `.wasm` or `.wat`, or by a `#function`. What claims it
/// and is none never runs as a native program.
pub fn claims_wasm(entry: &str) -> bool {
    entry.contains('#') || [".wasm", ".wat"].iter().any(|end| entry.ends_with(end))
}

/// Refuses what a native container may not have. `pod` is the spec of its pod's sandbox, if it has a pod: whose namespaces
/// the pod has, and whose the node's, is said there.
///
/// # Errors
/// A sentence with what was asked for, and the cure.
pub fn check(spec: &Spec, pod: Option<&Spec>, policy: &Policy) -> Result<(), GrantError> {
    no_grants_of_its_own(spec)?;
    let refused = |why: &str| Err(GrantError::Native { why: why.to_owned() });
    if !has_the_nodes(spec, LinuxNamespaceType::User) {
        return refused(
            "a user namespace is not supported by this release; leave `hostUsers` out of the pod",
        );
    }
    if has_the_nodes(spec, LinuxNamespaceType::Mount) {
        return refused("its spec has no mount namespace; one of its own cannot be left out");
    }
    if policy.native == Native::AllowPrivileged {
        return Ok(());
    }
    match asks_for_the_node(spec, pod.unwrap_or(spec)) {
        Some(asks) => Err(GrantError::NativeOfTheNode { asks }),
        None => Ok(()),
    }
}

fn asks_for_the_node(spec: &Spec, pod: &Spec) -> Option<String> {
    if has_the_nodes(pod, LinuxNamespaceType::Pid) {
        return Some("has the node's processes (hostPID)".into());
    }
    if has_the_nodes(pod, LinuxNamespaceType::Ipc) {
        return Some("has the node's shared memory (hostIPC)".into());
    }
    if may_open_every_device(spec) {
        return Some("may open every device (privileged)".into());
    }
    let sets = spec.process().as_ref()?.capabilities().as_ref()?;
    let all = [sets.bounding(), sets.effective(), sets.permitted(), sets.inheritable(), sets.ambient()];
    let asked = |one: &&Capability| all.iter().any(|set| set.as_ref().is_some_and(|set| set.contains(one)));
    OF_THE_NODE.iter().find(asked).map(|one| format!("asks for CAP_{one}"))
}

/// Whether a rule allows all devices of a kind that has no number: what `privileged` adds.
fn may_open_every_device(spec: &Spec) -> bool {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let rules = resources.and_then(|resources| resources.devices().as_ref());
    rules.into_iter().flatten().any(|rule| {
        let every = |number: Option<i64>| number.is_none_or(|number| number < 0);
        // Anybody may make the node of a device; to open it is what counts.
        let opens =
            rule.access().as_deref().is_none_or(|access| access.is_empty() || access.contains(['r', 'w']));
        rule.allow() && opens && every(rule.major())
    })
}

/// Annotations for the pod's Wasm containers are none of its business; one that names it promises what nobody keeps.
fn no_grants_of_its_own(spec: &Spec) -> Result<(), GrantError> {
    let Some(own) = container_name(spec) else { return Ok(()) };
    let prefix = format!("run.wasm/{own}.");
    let mut named: Vec<&String> = spec
        .annotations()
        .iter()
        .flatten()
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(&prefix))
        .collect();
    named.sort();
    match named.first() {
        Some(name) => Err(GrantError::Native {
            why: format!("annotation {} is about Wasm; remove it", crate::error::shown(name)),
        }),
        None => Ok(()),
    }
}
