//! The node's config, `/etc/run-wasm/config.toml` or inline in containerd's runtime options: defaults, and the upper
//! bound of what a pod may ask for. Every key here is honoured; any other is an error.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::egress::{Rule, network_of};
use crate::error::{one_line, shown};
use crate::mode::Mode;
use crate::profile::Profile;
use crate::signatures::{self, SignatureRule};
use crate::units::{self, ByteSize};

/// What a node's admin decided. Missing keys have the defaults of [`Policy::default`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Policy {
    /// Whether containers that are no Wasm may run at all.
    pub native: Native,
    /// The OCI runtime that runs them: a path, or a name that is looked for in the shim's `PATH`.
    #[serde(deserialize_with = "program")]
    pub native_runtime: PathBuf,
    /// The modes that a pod may choose; the first is the one of pods that do not.
    #[serde(deserialize_with = "modes")]
    pub modes: Vec<Mode>,
    /// The profiles that a pod may choose; the first is the one of pods that do not.
    #[serde(deserialize_with = "profiles")]
    pub profiles: Vec<Profile>,
    /// Images that run only signed.
    #[serde(deserialize_with = "signatures::rules")]
    pub require_signature: Vec<SignatureRule>,
    /// containerd's folder of `hosts.toml` files, by which signatures are fetched.
    #[serde(deserialize_with = "absolute")]
    pub registry_hosts: PathBuf,
    pub cache: Cache,
    pub jail: Jail,
    pub limits: Limits,
    pub compile: Compile,
    pub egress: EgressBound,
    pub shared: Shared,
    pub observe: Observe,
}

/// The verdict on native containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Native {
    #[default]
    Deny,
    /// Those that leave the node alone.
    Allow,
    /// All that Kubernetes lets through, `privileged`, `hostPID` and `hostIPC` included.
    AllowPrivileged,
}

/// The cache of compiled code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Cache {
    #[serde(deserialize_with = "absolute")]
    pub dir: PathBuf,
    /// When it holds more, what was used least recently goes.
    pub max_bytes: ByteSize,
}

/// The host process's jail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Jail {
    /// Parts without which no container starts, where the kernel lacks them. Of others the lack is logged.
    pub require: Vec<JailPart>,
}

/// A part of the jail that a kernel may lack. The rest of it (namespaces, ids, capabilities) is never optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JailPart {
    Seccomp,
    Landlock,
}

impl fmt::Display for JailPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
        })
    }
}

/// Ceilings of one container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// `None`: the pod's own limit, if it has one.
    pub memory: Option<ByteSize>,
    #[serde(deserialize_with = "files")]
    pub open_files: u64,
    /// How long a guest may run. `None`: as long as its pod says, if it says.
    #[serde(deserialize_with = "units::some_duration")]
    pub timeout: Option<Duration>,
    /// The fuel of every guest with the strict profile.
    #[serde(deserialize_with = "fuel")]
    pub fuel: u64,
    /// The largest core dump. `None`: there are none.
    pub coredump: Option<ByteSize>,
}

/// Ceilings of one compilation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Compile {
    pub memory: ByteSize,
    #[serde(deserialize_with = "units::duration")]
    pub timeout: Duration,
}

/// Shared mode.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Shared {
    /// How far containers that share a process must trust each other.
    pub trust: Trust,
    /// How long the manager, and a host of its, stays without a container.
    #[serde(deserialize_with = "units::duration")]
    pub idle_exit: Duration,
    /// Open files of a host, which all of its containers share.
    #[serde(deserialize_with = "files")]
    pub open_files: u64,
}

/// Whose containers may share a process. Of one user, groups and containerd namespace they are in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Those of all pods of the node.
    Node,
    /// Those of one Kubernetes namespace.
    #[default]
    Namespace,
    /// Those of one pod.
    Pod,
}

/// The most that any pod may ask of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EgressBound {
    /// Each rule of a pod must lie within one of these. `None`: no bound; empty: no egress on this node.
    pub allow: Option<Vec<Rule>>,
    /// Never reached, whatever name leads there.
    #[serde(deserialize_with = "cidrs")]
    pub deny_cidrs: Vec<IpNet>,
}

/// What shims tell of themselves, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Observe {
    /// How lines of the log are written.
    pub log: LogFormat,
    /// Which shims have a socket with their metrics.
    pub metrics: Metered,
    /// Where managers tell their metrics besides, by HTTP. `None`: nowhere.
    pub metrics_address: Option<SocketAddr>,
    /// Where traces go, `http://address:port`, by OTLP over gRPC. `None`: nowhere.
    #[serde(deserialize_with = "endpoint")]
    pub traces: Option<String>,
}

/// Shims with metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metered {
    None,
    /// Managers alone: one socket a node, and nothing for the many shims of the normal mode.
    #[default]
    Shared,
    All,
}

impl Metered {
    /// Whether a shim of this mode has a socket.
    pub fn includes(self, mode: Mode) -> bool {
        match self {
            Self::None => false,
            Self::Shared => mode == Mode::Shared,
            Self::All => true,
        }
    }
}

/// How lines of the log are written, one an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    #[default]
    Logfmt,
    Json,
}

/// About a quarter of an hour of computing.
const FUEL: u64 = 1_000_000_000_000;

impl Default for Policy {
    fn default() -> Self {
        Self {
            native: Native::default(),
            native_runtime: PathBuf::from("runc"),
            modes: vec![Mode::Normal, Mode::Shared],
            profiles: vec![Profile::Standard, Profile::Strict],
            require_signature: Vec::new(),
            registry_hosts: PathBuf::from("/etc/containerd/certs.d"),
            cache: Cache::default(),
            jail: Jail::default(),
            limits: Limits::default(),
            compile: Compile::default(),
            egress: EgressBound::default(),
            shared: Shared::default(),
            observe: Observe::default(),
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self { trust: Trust::default(), idle_exit: Duration::from_secs(60), open_files: 1 << 20 }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self { dir: PathBuf::from("/var/lib/run-wasm/aot"), max_bytes: ByteSize(2 << 30) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: None, open_files: 65_536, timeout: None, fuel: FUEL, coredump: None }
    }
}

impl Default for Compile {
    fn default() -> Self {
        Self { memory: ByteSize(2 << 30), timeout: Duration::from_secs(120) }
    }
}

/// Why a config is refused: the line, its text and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} (`{text}`): {why}")]
pub struct PolicyError {
    line: usize,
    text: String,
    why: String,
}

impl Policy {
    /// Reads a config in TOML; an empty text is the default.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            let line = before.bytes().filter(|byte| *byte == b'\n').count();
            let at = text.lines().nth(line).unwrap_or_default().trim();
            PolicyError { line: line + 1, text: shown(at), why: one_line(error.message()) }
        })
    }
}

fn modes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Mode>, D::Error> {
    let modes = Vec::<Mode>::deserialize(deserializer)?;
    if modes.is_empty() {
        return Err(D::Error::custom("no mode is left; write `modes = [\"normal\", \"shared\"]`"));
    }
    Ok(modes)
}

fn profiles<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Profile>, D::Error> {
    let profiles = Vec::<Profile>::deserialize(deserializer)?;
    if profiles.is_empty() {
        return Err(D::Error::custom("no profile is left; write `profiles = [\"standard\", \"strict\"]`"));
    }
    Ok(profiles)
}

fn files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    positive(deserializer, "a guest without a single file cannot start; write a number above 0")
}

fn fuel<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    positive(deserializer, "a guest without fuel cannot run; write a number above 0")
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D, why_not_zero: &str) -> Result<u64, D::Error> {
    match u64::deserialize(deserializer)? {
        0 => Err(D::Error::custom(why_not_zero)),
        number => Ok(number),
    }
}

fn absolute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    if !path.is_absolute() {
        return Err(D::Error::custom(
            "the path is not absolute; write one such as \"/var/lib/run-wasm/aot\"",
        ));
    }
    Ok(path)
}

fn program<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    let is_name = path.file_name().is_some_and(|name| name == path.as_os_str());
    if !path.is_absolute() && !is_name {
        return Err(D::Error::custom(
            "this is neither a program's name nor an absolute path; write \"runc\"",
        ));
    }
    Ok(path)
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let authority = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    // A shim looks no names up.
    match authority.map(str::parse::<SocketAddr>) {
        Some(Ok(_)) => Ok(Some(text)),
        _ => Err(D::Error::custom(
            "it is no address of a collector; write one such as \"http://127.0.0.1:4317\" (OTLP over gRPC, without TLS)",
        )),
    }
}

fn cidrs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| network_of(text).map_err(D::Error::custom)).collect()
}
