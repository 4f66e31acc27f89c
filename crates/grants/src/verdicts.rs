//! The verdict on every field of an OCI runtime spec: honoured, without effect, or refused.
//!
//! What would change what a guest can do, or how it is kept apart, and cannot be honoured is refused with the field and
//! the cure. What only takes away from a process what Wasm does not have anyway is without effect. `docs/pod-spec.md`
//! has the same table for people, and the fields of a pod beside it.

use std::fmt;

use oci_spec::runtime::Spec;
use serde_json::Value;

use crate::error::GrantError;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does what it says.
    Honoured,
    /// It is accepted and changes nothing.
    WithoutEffect,
    /// A spec that sets it makes no container.
    Refused,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Honoured => "honoured",
            Self::WithoutEffect => "without effect",
            Self::Refused => "refused",
        })
    }
}

/// A field of config.json and its verdict, which is that of all below it that has no row of its own.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Names from the top, with dots between. Of a list of objects with a `type`, that of the object is a name.
    pub path: &'static str,
    pub verdict: Verdict,
    /// How it is honoured, why it is not, and for a refused one the cure.
    pub why: &'static str,
}

const fn honoured(path: &'static str, why: &'static str) -> Field {
    Field { path, verdict: Verdict::Honoured, why }
}

const fn without_effect(path: &'static str, why: &'static str) -> Field {
    Field { path, verdict: Verdict::WithoutEffect, why }
}

const fn refused(path: &'static str, why: &'static str) -> Field {
    Field { path, verdict: Verdict::Refused, why }
}

const SYSCALLS: &str = "it restricts system calls or paths of the kernel; a guest has neither, and the jail of its host is stricter";
const MAPPED: &str = "a user namespace is not supported by this release; leave `hostUsers` out of the pod";
const OTHER_SYSTEM: &str = "it is for another system than Linux with Wasm; remove it";
const POLICY: &str = "the memory policy of a process cannot be set by this release; remove it: `linux.resources.cpu.mems` binds a container to memory nodes";
const CLOCKS: &str = "shifted clocks are not supported by this release; remove it";
const QUALITY: &str =
    "the limit would not hold in this release; remove it, or the NRI plugin or class that sets it";

/// Every field of the runtime spec that this release's reader of specs knows. Others are not seen: the specification
/// says that a runtime ignores them.
pub const FIELDS: &[Field] = &[
    without_effect("ociVersion", "read as any 1.x"),
    honoured("process.terminal", "stdio is a terminal, stderr merged into stdout"),
    without_effect("process.consoleSize", "containerd tells the terminal's size"),
    honoured("process.user", "identity of the host process; without capabilities, uid 0 included"),
    without_effect("process.user.username", "numbers count on Linux"),
    honoured("process.args", "argv; the first names the Wasm"),
    refused("process.commandLine", OTHER_SYSTEM),
    honoured("process.env", "the environment, and nothing of the node's"),
    honoured("process.cwd", "the working directory: absolute, without `..`"),
    without_effect("process.capabilities", "a guest makes no system call; its host has no capability"),
    without_effect(
        "process.rlimits",
        "they bound a process of Linux; memory and time have limits of their own",
    ),
    honoured("process.rlimits.RLIMIT_NOFILE", "the soft limit, bounded by the node's `limits.open-files`"),
    without_effect("process.noNewPrivileges", "always on"),
    without_effect("process.apparmorProfile", SYSCALLS),
    honoured("process.oomScoreAdj", "that of the host process"),
    without_effect(
        "process.selinuxLabel",
        "the host keeps the shim's label and sees nothing but the container's mounts",
    ),
    without_effect("process.ioPriority", "the cgroup's weight counts"),
    without_effect("process.scheduler", "the cgroup's weight counts"),
    without_effect("process.execCPUAffinity", "it is for exec"),
    honoured("root", "`/`, read-only if it says so"),
    without_effect("hostname", "WASI has no call for it; the environment has HOSTNAME under Kubernetes"),
    without_effect("domainname", "WASI has no call for it"),
    honoured(
        "mounts",
        "binds and tmpfs; those of the kernel and below `/dev` are dropped, other types refused",
    ),
    refused("mounts.uidMappings", MAPPED),
    refused("mounts.gidMappings", MAPPED),
    refused(
        "hooks",
        "hooks are programs of the node, which this release does not run: start the container by Kubernetes, crictl or ctr, as nerdctl adds hooks to every one; or remove the NRI plugin or CDI device that adds them",
    ),
    honoured("annotations", "those of `run.wasm/`, and what kubelet says of ports and termination message"),
    refused("uidMappings", MAPPED),
    refused("gidMappings", MAPPED),
    refused("linux.uidMappings", MAPPED),
    refused("linux.gidMappings", MAPPED),
    refused(
        "linux.netDevices",
        "network devices cannot be moved into a container by this release; remove the claim for them",
    ),
    honoured(
        "linux.sysctl",
        "`net.*` in the pod's network namespace; those of IPC and UTS are without effect, others refused",
    ),
    without_effect("linux.resources.devices", "a guest can open no device"),
    without_effect(
        "linux.resources.memory",
        "`limit` bounds all of a guest's memory, whether it is swapped or not",
    ),
    honoured(
        "linux.resources.memory.limit",
        "by our own accounting and by the cgroup, bounded by the node's `limits.memory`",
    ),
    honoured("linux.resources.cpu.shares", "the weight"),
    honoured("linux.resources.cpu.quota", "throttled, not killed"),
    honoured("linux.resources.cpu.period", "the time in which the quota is spent"),
    refused("linux.resources.cpu.burst", QUALITY),
    refused("linux.resources.cpu.idle", QUALITY),
    refused("linux.resources.cpu.realtimeRuntime", "a guest has no real-time thread; remove it"),
    refused("linux.resources.cpu.realtimePeriod", "a guest has no real-time thread; remove it"),
    honoured("linux.resources.cpu.cpus", "the processors of the host process, by its cgroup"),
    honoured("linux.resources.cpu.mems", "the memory nodes of the host process, by its cgroup"),
    honoured("linux.resources.pids", "threads of the host process"),
    refused("linux.resources.blockIO", QUALITY),
    without_effect("linux.resources.hugepageLimits", "a guest's memory is of ordinary pages"),
    refused("linux.resources.network", QUALITY),
    without_effect("linux.resources.rdma", "a guest can open no device"),
    honoured("linux.resources.unified", "files of the container's cgroup, on cgroup v2"),
    honoured("linux.cgroupsPath", "the cgroup of the host process"),
    honoured("linux.namespaces.network", "the pod's; without one, the node's (`hostNetwork: true`)"),
    honoured("linux.namespaces.mount", "always one of its own"),
    without_effect("linux.namespaces.pid", "always one of its own: a guest sees no process"),
    without_effect("linux.namespaces.ipc", "always one of its own: a guest has no shared memory"),
    without_effect("linux.namespaces.uts", "always one of its own: a guest asks for no host name"),
    without_effect("linux.namespaces.cgroup", "a guest sees no cgroup"),
    refused("linux.namespaces.user", MAPPED),
    refused("linux.namespaces.time", CLOCKS),
    refused(
        "linux.devices",
        "WASI has no devices; remove `privileged: true`, `volumeDevices` or the request for the device from the pod",
    ),
    without_effect("linux.seccomp", SYSCALLS),
    without_effect("linux.rootfsPropagation", "a guest's mounts are private copies"),
    without_effect("linux.maskedPaths", SYSCALLS),
    without_effect("linux.readonlyPaths", SYSCALLS),
    without_effect(
        "linux.mountLabel",
        "the host keeps the shim's label and sees nothing but the container's mounts",
    ),
    refused("linux.intelRdt", QUALITY),
    refused("linux.memoryPolicy", POLICY),
    without_effect("linux.personality", "a guest makes no system call"),
    refused("linux.timeOffsets", CLOCKS),
    refused("solaris", OTHER_SYSTEM),
    refused("windows", OTHER_SYSTEM),
    refused("vm", OTHER_SYSTEM),
    refused("zos", OTHER_SYSTEM),
];

/// The row that decides on the field at `path`: its own, or that of what it is part of.
pub fn verdict(path: &str) -> Option<&'static Field> {
    let is_part = |field: &&Field| {
        path.strip_prefix(field.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    FIELDS.iter().filter(is_part).max_by_key(|field| field.path.len())
}

/// Refuses a spec that asks for what cannot be given. Fields that are set to nothing (`{}`, `[]`, 0) ask for nothing.
pub(crate) fn check(spec: &Spec) -> Result<(), GrantError> {
    // A spec that was read from JSON can be written as such.
    let spec = serde_json::to_value(spec).map_err(|_| GrantError::Missing("fields that can be read"))?;
    let asked = |field: &&Field| field.verdict == Verdict::Refused && asks(&spec, field.path);
    match FIELDS.iter().find(asked) {
        Some(field) => Err(GrantError::Refused { field: field.path, why: field.why }),
        None => Ok(()),
    }
}

/// Whether `value` has anything at `path`.
fn asks(value: &Value, path: &str) -> bool {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    match value {
        Value::Array(items) => items.iter().any(|item| match item.get("type") {
            Some(Value::String(kind)) if kind == name => rest.is_empty() || asks(item, rest),
            _ => asks(item, path),
        }),
        Value::Object(fields) => fields
            .get(name)
            .is_some_and(|field| if rest.is_empty() { is_something(field) } else { asks(field, rest) }),
        _ => false,
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) => true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => fields.values().any(is_something),
    }
}
