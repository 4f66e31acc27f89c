//! [`Grants`] and the one way to get them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::{Deserialize, Serialize};

use crate::annotations::{self, Annotations, wrong_egress};
use crate::coredump::CoreDump;
use crate::egress::Egress;
use crate::error::GrantError;
use crate::http::Http;
use crate::limits::{Cpu, Limits};
use crate::listen::Listen;
use crate::mode::Mode;
use crate::mounts::{DroppedMount, Mounts, Volume};
use crate::policy::Policy;
use crate::process::{self, Entry, User};
use crate::profile::{Clock, Profile, Random};
use crate::{sysctl, table, verdicts};

/// What one container may do, and all of it.
///
/// [`derive()`] is the only maker and nothing changes it afterwards. It travels from the shim to the host as JSON; the
/// serde implementations exist for that one way, over a channel that nobody else writes to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grants {
    entry: Entry,
    args: Vec<String>,
    env: Vec<(String, String)>,
    cwd: String,
    user: User,
    terminal: bool,
    root: Root,
    mounts: Mounts,
    egress: Egress,
    listen: Listen,
    http: Http,
    limits: Limits,
    mode: Mode,
    profile: Profile,
    clock: Clock,
    random: Random,
    coredump: Option<CoreDump>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    plugs: Vec<PathBuf>,
}

/// The root filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Root {
    /// As in the spec: absolute, or relative to the bundle.
    pub path: PathBuf,
    pub readonly: bool,
}

/// What `spec` gives its container on a node with `policy`.
///
/// Pure: it reads no file and no clock, and the same input gives the same grants or the same error. What cannot be
/// honoured is an error, never left out.
pub fn derive(spec: &Spec, policy: &Policy) -> Result<Grants, GrantError> {
    let process = spec.process().as_ref().ok_or(GrantError::Missing("process"))?;
    let root = spec.root().as_ref().ok_or(GrantError::Missing("root"))?;
    let mounts = Mounts::sort(spec)?;
    verdicts::check(spec)?;
    sysctl::sysctls(spec)?;
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let annotations = Annotations::read(spec)?;
    let args = process::args(process)?;
    let chosen = annotations.profile(&policy.profiles)?;
    let coredump = annotations.coredump(&mounts.volumes, policy.limits.coredump)?;
    let profile = chosen.or(policy.profiles.first().copied()).unwrap_or_default();
    let listen = Listen::new(annotations.listen()?);
    let grants = Grants {
        entry: process::entry(&args)?,
        args,
        env: process::env(process)?,
        cwd: process::cwd(process)?,
        user: process::user(process.user())?,
        terminal: process.terminal().unwrap_or(false),
        root: Root { path: root.path().clone(), readonly: root.readonly().unwrap_or(false) },
        mounts,
        egress: egress(&annotations, policy)?,
        http: Http { traced: policy.observe.traces.is_some(), ..annotations.http(listen.ports())? },
        listen,
        limits: Limits::read(process, resources, annotations.timeout()?, profile, &policy.limits),
        mode: annotations.mode(&policy.modes)?.or(policy.modes.first().copied()).unwrap_or(Mode::Normal),
        profile,
        clock: annotations.clock(profile)?,
        random: annotations.random(profile)?,
        coredump,
        plugs: annotations.plugs()?,
    };
    refuse_network_in_strict(&grants)?;
    Ok(grants)
}

/// The mode of the pod whose sandbox has this `spec`, or of a container without a pod: it decides which shim serves it.
pub fn mode(spec: &Spec, policy: &Policy) -> Result<Mode, GrantError> {
    let chosen = annotations::mode_of_pod(spec, &policy.modes)?;
    Ok(chosen.or(policy.modes.first().copied()).unwrap_or(Mode::Normal))
}

fn refuse_network_in_strict(grants: &Grants) -> Result<(), GrantError> {
    let asked = match grants.profile {
        Profile::Standard => return Ok(()),
        Profile::Strict if !grants.egress.is_closed() => "connections (run.wasm/egress)",
        Profile::Strict if !grants.listen.is_closed() => "listening (its ports, or run.wasm/listen)",
        Profile::Strict => return Ok(()),
    };
    Err(GrantError::NetworkInStrict { asked })
}

fn egress(annotations: &Annotations<'_>, policy: &Policy) -> Result<Egress, GrantError> {
    let Some((annotation, rules)) = annotations.egress()? else { return Ok(Egress::default()) };
    let bound = &policy.egress;
    Egress::new(rules, bound.allow.as_deref(), &bound.deny_cidrs)
        .map_err(|error| wrong_egress(annotation, error.to_string()))
}

impl Grants {
    /// The grants of one more process in this container (the body of an exec): `process` says its arguments, environment,
    /// working directory and terminal, all else is the container's. Where `args[0]` names no Wasm, by `.wasm`, `.wat` or
    /// `#function`, the container's own runs.
    ///
    /// # Errors
    /// What a container's create says of the same fields; a user other than the container's.
    pub fn for_exec(&self, process: &Process) -> Result<Grants, GrantError> {
        let user = process::user(process.user())?;
        if (user.uid, user.gid) != (self.user.uid, self.user.gid) {
            return Err(GrantError::ExecUser {
                asked: (user.uid, user.gid),
                own: (self.user.uid, self.user.gid),
            });
        }
        let args = process::args(process)?;
        let entry = self.entry.for_exec(&args)?;
        // Other Wasm is run as it is.
        let plugs = if entry.path == self.entry.path { self.plugs.clone() } else { Vec::new() };
        Ok(Grants {
            entry,
            plugs,
            args,
            env: process::env(process)?,
            cwd: process::cwd(process)?,
            terminal: process.terminal().unwrap_or(false),
            ..self.clone()
        })
    }

    /// The grants under other resources: what these leave out stays as it is. `most` is the node's bound of memory, in
    /// bytes.
    pub fn resized(&self, resources: &LinuxResources, most: Option<u64>) -> Grants {
        Grants { limits: self.limits.resized(resources, most), ..self.clone() }
    }

    /// Which Wasm runs.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The guest's argv, `args[0]` included.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// The guest's environment; each name once.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// Absolute and normalised.
    pub fn cwd(&self) -> &str {
        &self.cwd
    }

    /// Whom the host process runs as.
    pub fn user(&self) -> &User {
        &self.user
    }

    pub fn root(&self) -> &Root {
        &self.root
    }

    /// What is mounted below `/`, in the order of the spec: of two at one place the later covers the earlier.
    pub fn volumes(&self) -> &[Volume] {
        &self.mounts.volumes
    }

    /// What the spec mounts and the guest does not get, with the reason.
    pub fn dropped(&self) -> &[DroppedMount] {
        &self.mounts.dropped
    }

    /// The node's file that the pod has as `/etc/resolv.conf`; so are the two below.
    pub fn resolv_conf(&self) -> Option<&Path> {
        self.mounts.resolv_conf.as_deref()
    }

    pub fn hosts(&self) -> Option<&Path> {
        self.mounts.hosts.as_deref()
    }

    pub fn hostname(&self) -> Option<&Path> {
        self.mounts.hostname.as_deref()
    }

    /// The node's file that kubelet reads the reason of an end from.
    pub fn termination_message(&self) -> Option<&Path> {
        self.mounts.termination_message.as_deref()
    }

    pub fn egress(&self) -> &Egress {
        &self.egress
    }

    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// How the Wasm serves HTTP, if it does. Its listener is made for it: that it listens there needs no other grant.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Whether any socket could ever be of use: if not, none need be possible.
    pub fn uses_network(&self) -> bool {
        !self.egress.is_closed() || !self.listen.is_closed()
    }

    /// Bytes, the lower one of the pod's and the node's limit; `None` where neither says.
    pub fn memory_limit(&self) -> Option<u64> {
        self.limits.memory
    }

    pub fn cpu(&self) -> Cpu {
        self.limits.cpu
    }

    /// The lower one of the pod's `RLIMIT_NOFILE` (soft) and the node's limit.
    pub fn open_files(&self) -> u64 {
        self.limits.open_files
    }

    /// Whether stdio is a terminal, with stderr merged into stdout.
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    pub fn profile(&self) -> Profile {
        self.profile
    }

    pub fn clock(&self) -> Clock {
        self.clock
    }

    pub fn random(&self) -> Random {
        self.random
    }

    /// How long the guest may run from its start, the lower one of the pod's and the node's limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.limits.timeout
    }

    /// What the guest may compute, about one unit for each Wasm instruction; `None`: without end.
    pub fn fuel(&self) -> Option<u64> {
        self.limits.fuel
    }

    /// Where a trap leaves a core dump; `None`: nowhere.
    pub fn coredump(&self) -> Option<&CoreDump> {
        self.coredump.as_ref()
    }

    /// Components of the image that are linked into the entry: each serves it and those that stand before.
    pub fn plugs(&self) -> &[PathBuf] {
        &self.plugs
    }

    /// All of it for people: one line a grant. What may be a secret is not in it: values of the environment, and
    /// arguments but the first.
    pub fn table(&self) -> String {
        table::print(self)
    }

    /// The table in one line, without what the guest does not get.
    pub fn line(&self) -> String {
        table::line(self)
    }
}

/// The table, because values of the environment may be secrets and a log may print this.
impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Grants\n{}", self.table())
    }
}
