//! The `run.wasm/` annotations of a container: `run.wasm/<key>` for a whole pod, `run.wasm/<container>.<key>` for one
//! container of it, which wins.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use oci_spec::runtime::Spec;

use crate::coredump::CoreDump;
use crate::egress::Rule;
use crate::error::{GrantError, shown};
use crate::http::{self, Http};
use crate::identity::{self, ContainerType};
use crate::listen::{self, Port};
use crate::mode::Mode;
use crate::mounts::Volume;
use crate::plug;
use crate::profile::{Clock, Profile, Random};
use crate::units::{self, ByteSize};

const PREFIX: &str = "run.wasm/";
const CLOCK: &str = "clock";
const COREDUMP: &str = "coredump";
const EGRESS: &str = "egress";
const HTTP_ACCESS_LOG: &str = "http-access-log";
const HTTP_CONCURRENCY: &str = "http-concurrency";
const HTTP_MAX_BODY: &str = "http-max-body";
const HTTP_MAX_INSTANCES: &str = "http-max-instances";
const HTTP_PORT: &str = "http-port";
const HTTP_REUSE: &str = "http-reuse";
const HTTP_TIMEOUT: &str = "http-timeout";
const LISTEN: &str = "listen";
const MODE: &str = "mode";
const PLUG: &str = "plug";
const PREWARM: &str = "prewarm";
const PROFILE: &str = "profile";
const RANDOM: &str = "random";
const TIMEOUT: &str = "timeout";
const HONOURED: [&str; 16] = [
    CLOCK,
    COREDUMP,
    EGRESS,
    HTTP_ACCESS_LOG,
    HTTP_CONCURRENCY,
    HTTP_MAX_BODY,
    HTTP_MAX_INSTANCES,
    HTTP_PORT,
    HTTP_REUSE,
    HTTP_TIMEOUT,
    LISTEN,
    MODE,
    PLUG,
    PROFILE,
    RANDOM,
    TIMEOUT,
];
/// Written by kubelet, passed on by containerd (`container_annotations = ["io.kubernetes.container.*"]`).
const KUBELET_PORTS: &str = "io.kubernetes.container.ports";

const CLOCK_EXAMPLE: &str = r#"run.wasm/clock: "frozen""#;
const COREDUMP_EXAMPLE: &str = r#"run.wasm/coredump: "/dumps/core.wasm""#;
const EGRESS_EXAMPLE: &str =
    r#"run.wasm/egress: "api.example.com:443, 10.0.0.0/8:5432, *.svc.cluster.local""#;
const HTTP_ACCESS_LOG_EXAMPLE: &str = r#"run.wasm/http-access-log: "on""#;
const HTTP_CONCURRENCY_EXAMPLE: &str = r#"run.wasm/http-concurrency: "16""#;
const HTTP_MAX_BODY_EXAMPLE: &str = r#"run.wasm/http-max-body: "10MiB""#;
const HTTP_MAX_INSTANCES_EXAMPLE: &str = r#"run.wasm/http-max-instances: "64""#;
const HTTP_PORT_EXAMPLE: &str = r#"run.wasm/http-port: "8080""#;
const HTTP_REUSE_EXAMPLE: &str = r#"run.wasm/http-reuse: "100""#;
const HTTP_TIMEOUT_EXAMPLE: &str = r#"run.wasm/http-timeout: "30s""#;
const LISTEN_EXAMPLE: &str = r#"run.wasm/listen: "8080/tcp, 53/udp""#;
const MODE_EXAMPLE: &str = r#"run.wasm/mode: "shared""#;
const PLUG_EXAMPLE: &str = r#"run.wasm/plug: "/deps/math.wasm, /deps/text.wasm""#;
const PREWARM_EXAMPLE: &str = r#"run.wasm/prewarm: "normal, shared""#;
const PROFILE_EXAMPLE: &str = r#"run.wasm/profile: "strict""#;
const RANDOM_EXAMPLE: &str = r#"run.wasm/random: "seed:42""#;
const TIMEOUT_EXAMPLE: &str = r#"run.wasm/timeout: "30s""#;
const PORTS_EXAMPLE: &str = r#"io.kubernetes.container.ports: [{"containerPort":8080,"protocol":"TCP"}]"#;

/// The annotations that are about one container: key to full name and value.
pub(crate) struct Annotations<'a> {
    own: BTreeMap<&'a str, (&'a str, &'a str)>,
    kubelet_ports: Option<&'a str>,
}

impl<'a> Annotations<'a> {
    /// Those of `spec`. Any `run.wasm/` key that is not honoured is an error, except another container's, which that
    /// container's own create reports.
    pub(crate) fn read(spec: &'a Spec) -> Result<Self, GrantError> {
        let container = identity::container_name(spec);
        // Sorted, so that of several mistakes always the same one is reported.
        let all: BTreeMap<&str, &str> = spec
            .annotations()
            .iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut general = BTreeMap::new();
        let mut specific = BTreeMap::new();
        for (name, value) in all {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let Some((owner, key)) = rest.split_once('.') else {
                check(name, rest)?;
                general.insert(rest, (name, value));
                continue;
            };
            match container {
                Some(own) if own != owner => {}
                Some(_) => {
                    check(name, key)?;
                    specific.insert(key, (name, value));
                }
                None => {
                    check(name, key)?;
                    return Err(nameless(name, owner, key));
                }
            }
        }
        general.extend(specific);
        Ok(Self { own: general, kubelet_ports: identity::annotation(spec, KUBELET_PORTS) })
    }

    /// The egress list together with the annotation that it comes from. An empty list closes the network.
    pub(crate) fn egress(&self) -> Result<Option<(&'a str, Vec<Rule>)>, GrantError> {
        let Some(&(name, value)) = self.own.get(EGRESS) else { return Ok(None) };
        let rules = list(value, |part| part.parse::<Rule>().map_err(|error| error.to_string()));
        rules.map(|rules| Some((name, rules))).map_err(|why| wrong(name, why, EGRESS_EXAMPLE))
    }

    /// What kubelet says that the container declares, then what `run.wasm/listen` adds.
    pub(crate) fn listen(&self) -> Result<Vec<Port>, GrantError> {
        let mut ports = match self.kubelet_ports {
            Some(json) => {
                listen::from_kubelet(json).map_err(|why| wrong(KUBELET_PORTS, why, PORTS_EXAMPLE))?
            }
            None => Vec::new(),
        };
        if let Some(&(name, value)) = self.own.get(LISTEN) {
            ports.extend(list(value, str::parse::<Port>).map_err(|why| wrong(name, why, LISTEN_EXAMPLE))?);
        }
        Ok(ports)
    }

    /// The mode, when the pod chooses one, which must be among `allowed`.
    pub(crate) fn mode(&self, allowed: &[Mode]) -> Result<Option<Mode>, GrantError> {
        self.word::<Mode>(MODE, MODE_EXAMPLE)?.map(|(name, mode)| allow(name, mode, allowed)).transpose()
    }

    /// The profile, when the pod chooses one, which must be among `allowed`.
    pub(crate) fn profile(&self, allowed: &[Profile]) -> Result<Option<Profile>, GrantError> {
        let Some((name, profile)) = self.word::<Profile>(PROFILE, PROFILE_EXAMPLE)? else { return Ok(None) };
        if !allowed.contains(&profile) {
            let why = format!("`{profile}` is not among this node's `profiles`");
            return Err(wrong(name, why, PROFILE_EXAMPLE));
        }
        Ok(Some(profile))
    }

    /// The clock of a guest with this profile.
    pub(crate) fn clock(&self, profile: Profile) -> Result<Clock, GrantError> {
        match self.word(CLOCK, CLOCK_EXAMPLE)? {
            Some((name, Clock::Real)) if profile == Profile::Strict => {
                Err(wrong(name, changes("frozen"), CLOCK_EXAMPLE))
            }
            chosen => Ok(chosen.map_or(profile.clock(), |(_, clock)| clock)),
        }
    }

    /// The randomness of a guest with this profile.
    pub(crate) fn random(&self, profile: Profile) -> Result<Random, GrantError> {
        match self.word(RANDOM, RANDOM_EXAMPLE)? {
            Some((name, Random::Real)) if profile == Profile::Strict => {
                Err(wrong(name, changes("seed:<number>"), RANDOM_EXAMPLE))
            }
            chosen => Ok(chosen.map_or(profile.random(), |(_, random)| random)),
        }
    }

    /// Where a trap leaves a core dump, in one of `volumes`; `bound` is what the node allows.
    pub(crate) fn coredump(
        &self,
        volumes: &[Volume],
        bound: Option<ByteSize>,
    ) -> Result<Option<CoreDump>, GrantError> {
        let Some(&(name, value)) = self.own.get(COREDUMP) else { return Ok(None) };
        let dump = CoreDump::new(value, volumes, bound);
        dump.map(Some).map_err(|why| wrong(name, why, COREDUMP_EXAMPLE))
    }

    /// The components that are linked into the container's own, in this order.
    pub(crate) fn plugs(&self) -> Result<Vec<PathBuf>, GrantError> {
        Ok(self.value(PLUG, PLUG_EXAMPLE, plug::paths)?.unwrap_or_default())
    }

    /// How long the guest may run.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, GrantError> {
        self.value(TIMEOUT, TIMEOUT_EXAMPLE, units::time)
    }

    /// How the container serves HTTP, if it does. Of the ports `declared` the first of TCP is its own.
    pub(crate) fn http(&self, declared: &[Port]) -> Result<Http, GrantError> {
        let count = |most| move |text: &str| http::count(text, most);
        let size = |text: &str| units::size(text).map(|size| size.0);
        let instances = count(http::MOST_INSTANCES);
        let port = self.value(HTTP_PORT, HTTP_PORT_EXAMPLE, http::port)?;
        let max_instances = self.value(HTTP_MAX_INSTANCES, HTTP_MAX_INSTANCES_EXAMPLE, instances)?;
        let timeout = self.value(HTTP_TIMEOUT, HTTP_TIMEOUT_EXAMPLE, units::time)?;
        let access_log = self.value(HTTP_ACCESS_LOG, HTTP_ACCESS_LOG_EXAMPLE, http::switch)?;
        Ok(Http {
            port: port.unwrap_or_else(|| Http::port(declared)),
            reuse: self.value(HTTP_REUSE, HTTP_REUSE_EXAMPLE, count(u32::MAX))?,
            concurrency: self.value(HTTP_CONCURRENCY, HTTP_CONCURRENCY_EXAMPLE, count(http::MOST_AT_ONCE))?,
            max_instances: max_instances.unwrap_or(http::DEFAULT_INSTANCES),
            timeout: timeout.unwrap_or(http::DEFAULT_TIMEOUT),
            max_body: self.value(HTTP_MAX_BODY, HTTP_MAX_BODY_EXAMPLE, size)?,
            access_log: access_log.unwrap_or(false),
            traced: false,
        })
    }

    /// What the annotation of a key says, if there is one.
    fn value<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, GrantError> {
        let Some(&(name, value)) = self.own.get(key) else { return Ok(None) };
        parse(value).map(Some).map_err(|why| wrong(name, why, example))
    }

    /// The annotation of a key that takes one word, and what the word means.
    fn word<T: FromStr<Err = String>>(
        &self,
        key: &str,
        example: &str,
    ) -> Result<Option<(&'a str, T)>, GrantError> {
        let Some(&(name, value)) = self.own.get(key) else { return Ok(None) };
        value.parse().map(|word| Some((name, word))).map_err(|why| wrong(name, why, example))
    }
}

/// The mode of a whole pod, by the annotations of its sandbox: those for one container are not looked at.
pub(crate) fn mode_of_pod(spec: &Spec, allowed: &[Mode]) -> Result<Option<Mode>, GrantError> {
    let name = format!("{PREFIX}{MODE}");
    let Some(value) = identity::annotation(spec, &name) else { return Ok(None) };
    let mode = value.parse().map_err(|why| wrong(&name, why, MODE_EXAMPLE))?;
    allow(&name, mode, allowed).map(Some)
}

/// The modes for which a container of the node agent has its image compiled ahead, of those that are `allowed`. Such a
/// container never runs; `None`: it is none.
///
/// # Errors
/// A container of a pod asks for it, or something else than modes.
pub fn prewarm(spec: &Spec, allowed: &[Mode]) -> Result<Option<Vec<Mode>>, GrantError> {
    let name = format!("{PREFIX}{PREWARM}");
    let Some(value) = identity::annotation(spec, &name) else { return Ok(None) };
    if identity::container_type(spec) != ContainerType::Standalone {
        let why = "it is for containers of the node agent, which never run; leave it out of pods";
        return Err(GrantError::Refused { field: "the annotation run.wasm/prewarm", why });
    }
    let modes = list(value, str::parse::<Mode>).map_err(|why| wrong(&name, why, PREWARM_EXAMPLE))?;
    Ok(Some(modes.into_iter().filter(|mode| allowed.contains(mode)).collect()))
}

fn allow(annotation: &str, mode: Mode, allowed: &[Mode]) -> Result<Mode, GrantError> {
    if !allowed.contains(&mode) {
        let why = format!("`{mode}` is not among this node's `modes`");
        return Err(wrong(annotation, why, MODE_EXAMPLE));
    }
    Ok(mode)
}

/// Why the strict profile takes no `real`.
fn changes(instead: &str) -> String {
    format!(
        "`real` differs from run to run, and the strict profile does not; write `{instead}`, or run.wasm/profile: \
         standard"
    )
}

/// An error about an egress list that the annotation `name` asks for.
pub(crate) fn wrong_egress(name: &str, why: String) -> GrantError {
    wrong(name, why, EGRESS_EXAMPLE)
}

fn wrong(annotation: &str, why: String, example: &str) -> GrantError {
    GrantError::Annotation { annotation: shown(annotation), why, example: example.to_owned() }
}

/// The parts of a comma-separated list; none for an empty text.
pub(crate) fn list<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let part = |part: &str| match part.trim() {
        "" => Err(format!("`{}` has an empty part between its commas", shown(text.trim()))),
        part => parse(part),
    };
    text.split(',').map(part).collect()
}

fn check(annotation: &str, key: &str) -> Result<(), GrantError> {
    if HONOURED.contains(&key) || key == PREWARM {
        return Ok(());
    }
    let (annotation, known) = (shown(annotation), HONOURED.join(", "));
    let nearest = nearest(key).map(|nearest| format!("{PREFIX}{nearest}"));
    Err(GrantError::UnknownKey { annotation, key: shown(key), nearest, known })
}

/// The key that `key` is a slip of, if it is one of few letters.
fn nearest(key: &str) -> Option<&'static str> {
    const FARTHEST: usize = 3;
    let key = key.to_ascii_lowercase();
    let distances = HONOURED.iter().map(|known| (strsim::damerau_levenshtein(&key, known), *known));
    distances
        .min()
        .filter(|(distance, known)| *distance <= FARTHEST && *distance < known.len())
        .map(|(_, known)| known)
}

fn nameless(annotation: &str, container: &str, key: &str) -> GrantError {
    GrantError::NamelessContainer {
        annotation: shown(annotation),
        container: shown(container),
        key: shown(key),
    }
}
