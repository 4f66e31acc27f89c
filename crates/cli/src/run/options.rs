//! What a run is given, in the words of docker's command line; and what that means to a shim.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use builder::registry::Store;
use clap::ValueEnum;
use serde_json::{Value, json};

use super::channel::{Content, Job, Size};
use super::forward::listen;
use super::image::Program;
use super::namespaces::{NOBODY, spare_folder};
use super::outside::Given;

/// A period of CPU time, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// An environment variable; NAME alone is this environment's. May be repeated.
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// A folder or file of this machine, and its place in the guest's root. May be repeated.
    #[arg(long, short, value_name = "HERE:THERE[:ro]", value_parser = volume)]
    volume: Vec<Volume>,
    /// A TCP port that the guest may listen at, and that is then this machine's on the loopback (HERE, where it differs). May be
    /// repeated.
    #[arg(long, short, value_name = "[HERE:]PORT", value_parser = publish)]
    pub publish: Vec<Publish>,
    /// Whom the guest may connect to, such as api.example.com:443 or 10.0.0.0/8:5432. May be repeated.
    #[arg(long, value_name = "RULE")]
    egress: Vec<String>,
    /// An annotation as a pod has it, such as run.wasm/clock=frozen; run.wasm/ may be left out. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = annotation)]
    annotation: Vec<(String, String)>,
    /// The most memory: 64m, 1g, or bytes.
    #[arg(long, short, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// The most CPU time, in processors. Only root can limit it.
    #[arg(long, value_name = "NUMBER", value_parser = quota)]
    cpus: Option<u32>,
    /// The longest time: 30s, 5m.
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// The working directory.
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// uid or uid:gid to run as. Only root can choose; everybody else's guests run as they themselves.
    #[arg(long, short, value_name = "UID[:GID]", value_parser = user)]
    user: Option<(u32, u32)>,
    /// The shim. Default: containerd-shim-run-v2 beside this program, or on PATH.
    #[arg(long, value_name = "FILE")]
    pub shim: Option<PathBuf>,
}

/// How much of the world a guest sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Nothing but what it is given: no clock, no randomness, no network.
    Strict,
    /// What a pod gets.
    Standard,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Volume {
    here: PathBuf,
    there: String,
    readonly: bool,
}

/// A port of this machine, and the guest's that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish {
    pub here: u16,
    pub there: u16,
}

/// A run that can begin.
#[derive(Debug)]
pub struct Prepared {
    pub job: Job,
    pub own_network: bool,
    files: Vec<OwnedFd>,
}

impl Prepared {
    pub fn given<'a>(&'a self, stdin: &'a OwnedFd, listeners: &'a [OwnedFd]) -> Given<'a> {
        Given {
            stdin: stdin.as_fd(),
            listeners: listeners.iter().map(AsFd::as_fd).collect(),
            files: self.files.iter().map(AsFd::as_fd).collect(),
        }
    }
}

impl Options {
    /// What of this machine the guest may write to.
    pub fn writable(&self) -> impl Iterator<Item = &Path> {
        self.volume.iter().filter(|volume| !volume.readonly).map(|volume| volume.here.as_path())
    }

    /// Whether the guest is in this machine's own network: it may go out, and what has no network of its own is reached there.
    pub fn goes_out(&self) -> bool {
        !self.egress.is_empty()
    }

    /// The ports that lead to another one's, or to another network's.
    pub fn forwarded<'a>(&self, publish: &'a [Publish]) -> impl Iterator<Item = &'a Publish> + use<'a> {
        let goes_out = self.goes_out();
        publish.iter().filter(move |port| !goes_out || port.here != port.there)
    }

    /// Listens at this machine's side of the ports.
    pub fn listeners(&self, publish: &[Publish]) -> Result<Vec<OwnedFd>> {
        self.forwarded(publish).map(|port| listen(port.here)).collect()
    }

    /// All that a shim is told. `args`: in place of the program's own.
    pub fn prepare(
        &self,
        shim: &Path,
        program: Program,
        args: &[String],
        publish: &[Publish],
        profile: Profile,
        terminal: Option<Size>,
    ) -> Result<Prepared> {
        if profile == Profile::Strict && (self.goes_out() || !publish.is_empty()) {
            bail!("a strict run has no network: --profile standard lets it have --egress and --publish");
        }
        let is_root = rustix::process::geteuid().is_root();
        let (uid, gid) = self.identity(program.user.as_deref(), is_root)?;
        let cache = Store::of_user()?.root().join("aot");
        let cache = real(&std::path::absolute(cache)?);
        let binds = self.binds();
        let used = binds.iter().map(|bind| bind.here.as_path());
        let used: Vec<&Path> = used.chain([shim, cache.as_path()]).collect();
        let state = spare_folder(&used)?;
        let args = if args.is_empty() { &program.args } else { args };
        let mut env = program.env.clone();
        for variable in &self.env {
            env.extend(from_here(variable)?);
        }
        let spec = json!({
            "ociVersion": "1.1.0",
            "process": {
                "terminal": terminal.is_some(),
                "user": {"uid": uid, "gid": gid},
                "args": program.entry.iter().chain(args).collect::<Vec<_>>(),
                "env": env,
                "cwd": self.workdir.as_deref().or(program.folder.as_deref()).unwrap_or("/"),
            },
            "root": {"path": "rootfs", "readonly": program.is_wasm},
            "mounts": binds.iter().map(Volume::mount).collect::<Vec<_>>(),
            "annotations": self.annotations(publish, profile),
            "linux": self.linux(is_root)?,
        });
        let config = format!("modes = [\"normal\"]\n[cache]\ndir = {}\n", json!(cache));
        let (files, descriptors): (Vec<Content>, Vec<OwnedFd>) = program.files.into_iter().unzip();
        let ports = self.forwarded(publish).map(|port| port.there).collect();
        let job = Job { shim: shim.to_owned(), state, config, spec, files, ports, terminal };
        Ok(Prepared { job, own_network: !self.goes_out(), files: descriptors })
    }

    fn identity(&self, of_image: Option<&str>, is_root: bool) -> Result<(u32, u32)> {
        match (self.user, of_image, is_root) {
            (Some(_), _, false) => {
                bail!("only root can run as another user: leave --user out, the guest runs as you")
            }
            (None, _, false) => Ok((NOBODY, NOBODY)),
            (Some(asked), _, true) => Ok(asked),
            (None, Some(text), true) => user(text)
                .map_err(|why| anyhow::anyhow!("the image's user is «{}»: {why}", text.escape_debug())),
            (None, None, true) => Ok((0, 0)),
        }
    }

    /// All that is brought in from here, by paths without links.
    fn binds(&self) -> Vec<Volume> {
        let mut binds = self.volume.clone();
        if self.goes_out() {
            // By which names are looked up.
            let files = ["/etc/resolv.conf", "/etc/hosts"].into_iter();
            binds.extend(files.filter_map(|file| {
                let here = Path::new(file).canonicalize().ok()?;
                Some(Volume { here, there: file.into(), readonly: true })
            }));
        }
        binds
    }

    fn annotations(&self, publish: &[Publish], profile: Profile) -> Value {
        let mut all = serde_json::Map::new();
        let mut set = |name: &str, value: String| {
            all.entry(format!("run.wasm/{name}")).or_insert(Value::String(value));
        };
        // What is said in so many words comes first, and stays.
        for (name, value) in &self.annotation {
            set(name, value.clone());
        }
        let word = if profile == Profile::Strict { "strict" } else { "standard" };
        set("profile", word.into());
        if self.goes_out() {
            set("egress", self.egress.join(", "));
        }
        if !publish.is_empty() {
            let ports: Vec<String> = publish.iter().map(|port| format!("{}/tcp", port.there)).collect();
            set("listen", ports.join(", "));
        }
        if let Some(time) = &self.timeout {
            set("timeout", time.clone());
        }
        all.into()
    }

    fn linux(&self, is_root: bool) -> Result<Value> {
        if self.cpus.is_some() && !is_root {
            bail!("--cpus is for root: only the kernel's cgroups slow a guest down, and they are root's");
        }
        let cgroup = self.cpus.map(|_| format!("/run-wasm-local/{}", std::process::id()));
        Ok(json!({
            "cgroupsPath": cgroup,
            "resources": {
                "memory": self.memory.map(|limit| json!({"limit": limit})),
                "cpu": self.cpus.map(|quota| json!({"quota": quota, "period": PERIOD})),
            },
        }))
    }
}

impl Volume {
    fn mount(&self) -> Value {
        let how = if self.readonly { "ro" } else { "rw" };
        json!({"type": "bind", "source": self.here, "destination": self.there, "options": ["rbind", how]})
    }
}

/// A path without links, as far as there is something at it.
fn real(path: &Path) -> PathBuf {
    let real = |above: &Path| {
        let mut real = above.canonicalize().ok()?;
        real.extend(path.strip_prefix(above).ok()?.components());
        Some(real)
    };
    path.ancestors().find_map(real).unwrap_or_else(|| path.to_owned())
}

/// `NAME=VALUE`, or the value that this environment has, if it has one.
fn from_here(variable: &str) -> Result<Option<String>> {
    if variable.contains('=') {
        return Ok(Some(variable.to_owned()));
    }
    match std::env::var(variable) {
        Ok(value) => Ok(Some(format!("{variable}={value}"))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("the environment variable {variable}")),
    }
}

fn volume(text: &str) -> Result<Volume, String> {
    const FORM: &str = "write it as HERE:THERE or HERE:THERE:ro";
    let mut parts = text.split(':');
    let (Some(here), Some(there), option, None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(FORM.into());
    };
    let readonly = match option {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(_) => return Err(FORM.into()),
    };
    if !there.starts_with('/') {
        return Err(format!("the guest's side must be absolute, such as {here}:/data"));
    }
    let here = Path::new(here).canonicalize().map_err(|error| format!("{here}: {error}"))?;
    Ok(Volume { here, there: there.into(), readonly })
}

fn publish(text: &str) -> Result<Publish, String> {
    let (here, there) = text.split_once(':').unwrap_or((text, text));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    match (port(here), port(there)) {
        (Some(here), Some(there)) => Ok(Publish { here, there }),
        _ => Err(
            "write it as PORT or HERE:PORT, of 1 to 65535; only TCP is published, and only on the loopback"
                .into(),
        ),
    }
}

/// The name without `run.wasm/`.
fn annotation(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.strip_prefix("run.wasm/").unwrap_or(name).into(), value.into()))
}

fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let unit = match lower.get(number.len()..).unwrap_or_default() {
        "" | "b" => 1,
        "k" | "kb" | "ki" | "kib" => 1 << 10,
        "m" | "mb" | "mi" | "mib" => 1 << 20,
        "g" | "gb" | "gi" | "gib" => 1 << 30,
        _ => return Err("its unit is none of b, k, m and g".into()),
    };
    let number: u64 = number.parse().map_err(|_| "write it as 64m, 1g, or a number of bytes")?;
    number
        .checked_mul(unit)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "no machine has so much, or so little".into())
}

/// Processors, such as 0.5, as microseconds of a period.
fn quota(text: &str) -> Result<u32, String> {
    const DIGITS: usize = 5;
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let part: String = part.chars().chain("00000".chars()).take(DIGITS.max(part.len())).collect();
    let quota = match (is_number(whole) && is_number(&part), part.get(..DIGITS)) {
        (true, Some(part)) => format!("{whole}{part}").parse().ok(),
        _ => None,
    };
    // The kernel gives no less than a millisecond.
    quota
        .filter(|quota| (1_000..=100_000_000).contains(quota))
        .ok_or_else(|| "write a number of 0.01 to 1000".into())
}

fn user(text: &str) -> Result<(u32, u32), String> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, "0"));
    match (uid.parse(), gid.parse()) {
        (Ok(uid), Ok(gid)) => Ok((uid, gid)),
        _ => Err("write it as uid or uid:gid, in numbers".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_written_as_docker_has_them() {
        assert_eq!(publish("8080"), Ok(Publish { here: 8080, there: 8080 }));
        assert_eq!(publish("80:8080"), Ok(Publish { here: 80, there: 8080 }));
        assert!(
            ["", "0", "x", "1:2:3", "53/udp", "127.0.0.1:1:2"].into_iter().all(|text| publish(text).is_err())
        );
        assert_eq!((size("64m"), size("1GiB"), size("7")), (Ok(64 << 20), Ok(1 << 30), Ok(7)));
        assert!(["", "0", "m", "1x", "-1", "99999999999g"].into_iter().all(|text| size(text).is_err()));
        assert_eq!(
            (quota("0.5"), quota("2"), quota(".25"), quota("1.000001")),
            (Ok(50_000), Ok(200_000), Ok(25_000), Ok(100_000))
        );
        assert!(["", "0", "x", "-1", "1.x", "5000", "0.001"].into_iter().all(|text| quota(text).is_err()));
        assert_eq!((user("7"), user("7:8")), (Ok((7, 0)), Ok((7, 8))));
        assert!(user("alice").is_err());
        assert_eq!(annotation("run.wasm/clock=frozen"), Ok(("clock".into(), "frozen".into())));
        assert_eq!(annotation("clock=frozen"), annotation("run.wasm/clock=frozen"));
    }

    #[test]
    fn a_volume_is_there_and_goes_to_an_absolute_place() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        let text = |rest: &str| format!("{}:{rest}", here.display());
        let data = volume(&text("/data:ro")).unwrap();
        assert_eq!(
            (data.here.as_path(), data.there.as_str(), data.readonly),
            (here.as_path(), "/data", true)
        );
        assert!(!volume(&text("/data")).unwrap().readonly);
        for wrong in
            [text("data"), text("/data:x"), text("/a:ro:ro"), "/nowhere:/data".into(), "/data".into()]
        {
            assert!(volume(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_used_is_known_by_its_path_without_links() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        std::fs::create_dir(here.join("there")).unwrap();
        std::os::unix::fs::symlink("there", here.join("link")).unwrap();
        assert_eq!(real(&here.join("link/not/yet")), here.join("there/not/yet"));
        assert_eq!(real(&here.join("link")), here.join("there"));
        assert_eq!(real(Path::new("/nowhere/at/all")), Path::new("/nowhere/at/all"));
    }

    #[test]
    fn an_annotation_in_so_many_words_outweighs_an_option() {
        let cli = <crate::Cli as clap::Parser>::try_parse_from([
            "run-wasm",
            "run",
            "--timeout",
            "1s",
            "--annotation",
            "timeout=2s",
            "-p",
            "80:8080",
            "x.wasm",
        ]);
        let crate::Command::Run(args) = cli.unwrap().command else { panic!("not run") };
        let all = args.options.annotations(&args.options.publish, Profile::Standard);
        let expected =
            json!({"run.wasm/timeout": "2s", "run.wasm/profile": "standard", "run.wasm/listen": "8080/tcp"});
        assert_eq!(all, expected);
    }
}
