//! The spec's mounts, sorted: volumes that the guest sees, mounts that mean nothing to Wasm, and files that the
//! runtime reads or writes itself. What is none of these is refused, never left out in silence.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Mount, Spec};
use serde::{Deserialize, Serialize};

use crate::error::{GrantError, shown};
use crate::identity;
use crate::path;
use crate::tmpfs::Tmpfs;

/// A mount that the guest sees, below its `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Volume {
    pub source: VolumeSource,
    /// Absolute and normalised, never `/`; symlinks of the root filesystem in it are not resolved yet.
    pub destination: PathBuf,
    pub readonly: bool,
}

/// Where a volume's files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum VolumeSource {
    /// A directory or a single file of the node, with the mounts below it when `recursive`. Whoever mounts it still
    /// has to refuse procfs and sysfs, which only the kernel can tell.
    Bind { path: PathBuf, recursive: bool },
    /// A fresh file system in memory.
    Tmpfs(Tmpfs),
}

/// A mount of the spec that the guest does not get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DroppedMount {
    pub destination: PathBuf,
    pub reason: DropReason,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropReason {
    /// proc, sysfs, cgroup, mqueue, devpts: views of a kernel that a guest does not talk to.
    Kernel,
    /// `/dev` and below, `/dev/shm` included: no guest can use a device or shared memory.
    Device,
    /// The tmpfs at `/run` that containerd's default spec has and no pod asked for.
    DefaultRun,
    /// `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`: read by the runtime.
    RuntimeReads,
    /// The termination message: written by the runtime.
    RuntimeWrites,
}

/// All mounts of a spec, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Mounts {
    pub volumes: Vec<Volume>,
    pub dropped: Vec<DroppedMount>,
    pub hosts: Option<PathBuf>,
    pub hostname: Option<PathBuf>,
    pub resolv_conf: Option<PathBuf>,
    pub termination_message: Option<PathBuf>,
}

const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
const DEFAULT_TERMINATION_PATH: &str = "/dev/termination-log";
/// The options of containerd's default `/run`, by which it is told from one that somebody asked for.
const DEFAULT_RUN: [&str; 4] = ["nosuid", "strictatime", "mode=755", "size=65536k"];
/// Options that add nothing to what every volume is (nosuid, nodev, private) or that cannot matter to a guest.
const WITHOUT_EFFECT: [&str; 22] = [
    "bind",
    "rbind",
    "private",
    "rprivate",
    "nosuid",
    "nodev",
    "noexec",
    "suid",
    "dev",
    "exec",
    "atime",
    "noatime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "diratime",
    "nodiratime",
    "lazytime",
    "nolazytime",
    "sync",
    "async",
];

impl Mounts {
    pub(crate) fn sort(spec: &Spec) -> Result<Self, GrantError> {
        let termination = termination_path(spec)?;
        let mut sorted = Self::default();
        for mount in spec.mounts().iter().flatten() {
            let destination = mount.destination().to_string_lossy();
            let wrong = |why: String| GrantError::Mount { destination: shown(&destination), why };
            let at = path::normalise(&destination).map_err(|why| {
                wrong(format!("its destination {why}; write an absolute path such as `/data`"))
            })?;
            sorted.add(mount, at, termination.as_deref()).map_err(wrong)?;
        }
        Ok(sorted)
    }

    fn add(&mut self, mount: &Mount, at: String, termination: Option<&str>) -> Result<(), String> {
        let options = Options::read(mount);
        if let Some(reason) = options.kind.drop_reason(&at, &options.all) {
            self.dropped.push(DroppedMount { destination: at.into(), reason });
            return Ok(());
        }
        if options.kind == Kind::Bind
            && let Some((slot, reason)) = self.runtime_file(&at, termination)
        {
            *slot = Some(source(mount)?);
            self.dropped.push(DroppedMount { destination: at.into(), reason });
            return Ok(());
        }
        if path::is_at_or_below(&at, "/dev") {
            self.dropped.push(DroppedMount { destination: at.into(), reason: DropReason::Device });
            return Ok(());
        }
        self.volumes.push(volume(mount, at, &options)?);
        Ok(())
    }

    /// Where the source of a bind at `at` is kept, if the runtime handles that file itself.
    fn runtime_file(
        &mut self,
        at: &str,
        termination: Option<&str>,
    ) -> Option<(&mut Option<PathBuf>, DropReason)> {
        match at {
            "/etc/hosts" => Some((&mut self.hosts, DropReason::RuntimeReads)),
            "/etc/hostname" => Some((&mut self.hostname, DropReason::RuntimeReads)),
            "/etc/resolv.conf" => Some((&mut self.resolv_conf, DropReason::RuntimeReads)),
            at if Some(at) == termination => Some((&mut self.termination_message, DropReason::RuntimeWrites)),
            _ => None,
        }
    }
}

/// Where the pod wants its termination message; `None` when it says nowhere.
fn termination_path(spec: &Spec) -> Result<Option<String>, GrantError> {
    let path = identity::annotation(spec, TERMINATION_PATH).unwrap_or(DEFAULT_TERMINATION_PATH);
    if path.is_empty() {
        return Ok(None);
    }
    path::normalise(path).map(Some).map_err(|why| GrantError::Annotation {
        annotation: TERMINATION_PATH.to_owned(),
        why: format!("`{}` {why}", shown(path)),
        example: format!("{TERMINATION_PATH}: {DEFAULT_TERMINATION_PATH}"),
    })
}

/// What kind of mount the spec asks for. As in the OCI spec, `bind` or `rbind` among the options outweighs the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind<'a> {
    Bind,
    Tmpfs,
    Kernel,
    Other(&'a str),
}

impl Kind<'_> {
    fn drop_reason(self, at: &str, options: &[&str]) -> Option<DropReason> {
        match self {
            Kind::Kernel => Some(DropReason::Kernel),
            Kind::Tmpfs if at == "/run" && options == DEFAULT_RUN => Some(DropReason::DefaultRun),
            _ => None,
        }
    }
}

/// Whether a guest may write. A read-only mount is so with all below it.
const WRITING: [&str; 3] = ["ro", "rro", "rw"];

/// The options of a bind that are no mistake, as `mountOptions` of the runtime-spec's features (features.md).
pub fn mount_options() -> impl Iterator<Item = &'static str> {
    WRITING.into_iter().chain(WITHOUT_EFFECT)
}

struct Options<'a> {
    kind: Kind<'a>,
    all: Vec<&'a str>,
}

impl<'a> Options<'a> {
    fn read(mount: &'a Mount) -> Self {
        let all: Vec<&str> = mount.options().iter().flatten().map(String::as_str).collect();
        let kind = match mount.typ().as_deref().unwrap_or_default() {
            _ if all.contains(&"bind") || all.contains(&"rbind") => Kind::Bind,
            "bind" | "rbind" => Kind::Bind,
            "tmpfs" => Kind::Tmpfs,
            "proc" | "sysfs" | "cgroup" | "cgroup2" | "mqueue" | "devpts" => Kind::Kernel,
            other => Kind::Other(other),
        };
        Self { kind, all }
    }

    /// Of `ro` and `rw` the last counts.
    fn readonly(&self) -> bool {
        let decides = |option: &&&str| WRITING.contains(*option);
        self.all.iter().rfind(decides).is_some_and(|option| *option != "rw")
    }

    /// The options that are neither `ro`, `rw` nor without effect.
    fn rest(&self) -> impl Iterator<Item = &'a str> {
        let known = |option: &&str| WRITING.contains(option) || WITHOUT_EFFECT.contains(option);
        self.all.iter().copied().filter(move |option| !known(option))
    }
}

fn volume(mount: &Mount, at: String, options: &Options<'_>) -> Result<Volume, String> {
    if at == "/" {
        return Err("a volume cannot replace the root filesystem; choose a directory below `/`".to_owned());
    }
    let mapped = |mappings: &Option<Vec<_>>| mappings.as_ref().is_some_and(|all| !all.is_empty());
    if mapped(mount.uid_mappings()) || mapped(mount.gid_mappings()) {
        return Err("it is id-mapped, which this release does not support; leave `hostUsers` out of the pod"
            .to_owned());
    }
    let source = match options.kind {
        Kind::Bind => bind(mount, options)?,
        Kind::Tmpfs => VolumeSource::Tmpfs(Tmpfs::read(options.rest())?),
        Kind::Kernel | Kind::Other("") => {
            return Err("it has neither a type nor the option `bind`".to_owned());
        }
        Kind::Other(kind) => {
            return Err(format!("type `{}` is not supported; there are bind and tmpfs", shown(kind)));
        }
    };
    Ok(Volume { source, destination: at.into(), readonly: options.readonly() })
}

fn bind(mount: &Mount, options: &Options<'_>) -> Result<VolumeSource, String> {
    if let Some(option) = options.rest().next() {
        return Err(match option {
            "slave" | "rslave" | "shared" | "rshared" => format!(
                "option `{option}` (`mountPropagation`) is not supported by this release; leave `mountPropagation` out"
            ),
            "idmap" | "ridmap" => {
                format!(
                    "option `{option}` is not supported by this release; leave `hostUsers` out of the pod"
                )
            }
            other => format!("option `{}` of a bind is not supported; remove it", shown(other)),
        });
    }
    Ok(VolumeSource::Bind {
        path: source(mount)?,
        recursive: !options.all.contains(&"bind") || options.all.contains(&"rbind"),
    })
}

/// The source of a bind: an absolute path of the node.
fn source(mount: &Mount) -> Result<PathBuf, String> {
    let source = mount.source().as_deref().unwrap_or(Path::new(""));
    let text = source.to_string_lossy();
    match source.is_absolute() && !text.contains('\0') {
        true => Ok(source.to_owned()),
        false => Err(format!("its source `{}` is not an absolute path of the node", shown(&text))),
    }
}
