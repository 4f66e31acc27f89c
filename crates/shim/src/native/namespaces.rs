//! Which namespaces a native container is put into: its pod's.
//!
//! CRI derives paths such as `/proc/PID/ns/ipc` from the pid that this shim reports for the pod's sandbox. No process runs for
//! a sandbox here, so that pid is the shim's own, and the paths lead to the node's namespaces. What a path leads to is told
//! by its inode, never by its name.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use grants::{NetNs, identity};
use oci_spec::runtime::{LinuxNamespaceType as Kind, Spec};

/// A namespace by its identity: two files that stand for one namespace have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Identity> {
        Ok(Identity::told_by(&fs::metadata(path)?))
    }

    fn told_by(file: &Metadata) -> Identity {
        Identity { device: file.dev(), inode: file.ino() }
    }

    /// Whether it is that of the node's first process, or this process' own.
    fn is_the_nodes(self, kind: Kind) -> bool {
        let nodes = [1, std::process::id().cast_signed()];
        nodes.into_iter().any(|pid| Identity::of(&file(pid, kind)).is_ok_and(|it| it == self))
    }
}

/// Where a namespace is to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The node: the spec has no such namespace.
    Node,
    /// Made for this container.
    Own,
    At(PathBuf),
}

/// The pod that a container belongs to.
#[derive(Debug)]
pub struct Pod<'a> {
    /// The spec of its sandbox, which says whose namespaces the pod has.
    pub sandbox: &'a Spec,
    /// The process that holds its ipc and uts namespaces, and a process namespace where its containers share one.
    pub holder: i32,
    /// The first processes of its native containers.
    pub members: Vec<i32>,
}

/// What a container gets of each kind.
#[derive(Debug, Default)]
pub struct Places {
    pub all: Vec<(Kind, Place)>,
    /// Namespaces of processes, which may end, and whose pids may then be others': the places are those of these descriptors.
    _open: Vec<File>,
}

impl Places {
    /// Finds them. `privileged` may have the node's. Of the pids in `pod` none may have been reaped, nor be while this is at
    /// work.
    pub fn find(spec: &Spec, pod: Option<&Pod<'_>>, privileged: bool) -> Result<Places> {
        let mut found = Places { all: places(spec, pod, privileged)?, _open: Vec::new() };
        for (kind, place) in &mut found.all {
            if let Place::At(path) = place
                && path.starts_with("/proc")
            {
                let file = File::open(&path).with_context(|| {
                    format!("cannot open the {} namespace {}", word(*kind), path.display())
                })?;
                ensure!(
                    !Identity::told_by(&file.metadata()?).is_the_nodes(*kind),
                    "the {} namespace {} has become the node's own",
                    word(*kind),
                    path.display()
                );
                *path = Path::new("/proc")
                    .join(std::process::id().to_string())
                    .join("fd")
                    .join(file.as_raw_fd().to_string());
                found._open.push(file);
            }
        }
        Ok(found)
    }

    pub fn get(&self, kind: Kind) -> Option<&Place> {
        self.all.iter().find(|(other, _)| *other == kind).map(|(_, place)| place)
    }
}

fn places(spec: &Spec, pod: Option<&Pod<'_>>, privileged: bool) -> Result<Vec<(Kind, Place)>> {
    let namespaces =
        spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    let given = |kind| match namespaces
        .iter()
        .find(|namespace| namespace.typ() == kind)
        .map(|it| it.path().clone())
    {
        None => Place::Node,
        Some(Some(path)) if !path.as_os_str().is_empty() => Place::At(path),
        Some(_) => Place::Own,
    };
    let mut places = Vec::new();
    for kind in [Kind::Pid, Kind::Ipc, Kind::Uts, Kind::Network] {
        let place = match pod {
            Some(pod) => pod.place(kind, given(kind))?,
            None => alone(kind, given(kind), privileged)?,
        };
        places.push((kind, place));
    }
    for kind in [Kind::Mount, Kind::Cgroup, Kind::Time] {
        let place = given(kind);
        if let Place::At(path) = place {
            bail!(
                "the {} namespace {} cannot be shared: leave its path out of the spec",
                word(kind),
                path.display()
            );
        }
        places.push((kind, place));
    }
    Ok(places)
}

/// Without a pod the spec's own word counts.
fn alone(kind: Kind, given: Place, privileged: bool) -> Result<Place> {
    match given {
        Place::At(path) if is_the_nodes(kind, &path)? => {
            if !privileged && matches!(kind, Kind::Pid | Kind::Ipc) {
                bail!(
                    "the {} namespace {} is the node's own: leave it to the container, or have the node's config say \
                     native = \"allow-privileged\"",
                    word(kind),
                    path.display()
                );
            }
            Ok(Place::Node)
        }
        given => Ok(given),
    }
}

impl Pod<'_> {
    fn place(&self, kind: Kind, given: Place) -> Result<Place> {
        // The pod's explicit word, which the policy has judged.
        let nodes = identity::has_the_nodes(self.sandbox, kind);
        match kind {
            _ if nodes => Ok(Place::Node),
            Kind::Network => self.network(),
            Kind::Pid => self.processes(given),
            _ => match given {
                Place::Own => Ok(Place::Own),
                Place::Node => Ok(self.held(kind)),
                Place::At(path) if is_the_nodes(kind, &path)? || self.is_held(kind, &path)? => {
                    Ok(self.held(kind))
                }
                Place::At(path) => bail!("the {} namespace {} is not the pod's", word(kind), path.display()),
            },
        }
    }

    /// The pod's own, whatever the container's spec calls it.
    fn network(&self) -> Result<Place> {
        match identity::network_namespace(self.sandbox) {
            NetNs::Path(path) if is_the_nodes(Kind::Network, &path)? => {
                bail!(
                    "the pod's network namespace {} is the node's own, and the pod does not say hostNetwork",
                    path.display()
                )
            }
            NetNs::Path(path) => Ok(Place::At(path)),
            NetNs::New | NetNs::Node => Ok(Place::Own),
        }
    }

    fn processes(&self, given: Place) -> Result<Place> {
        let Place::At(path) = given else { return Ok(Place::Own) };
        if is_the_nodes(Kind::Pid, &path)? || self.is_held(Kind::Pid, &path)? {
            // `shareProcessNamespace`: the path is that of the sandbox' process.
            return Ok(self.held(Kind::Pid));
        }
        let wanted = look(Kind::Pid, &path)?;
        let target = self
            .members
            .iter()
            .map(|pid| file(*pid, Kind::Pid))
            .find(|own| Identity::of(own).is_ok_and(|it| it == wanted));
        target.map(Place::At).context(
            "the container whose processes it is to see (`--target`) is no native container of its pod: a Wasm container has \
             none to see; leave the target out",
        )
    }

    fn held(&self, kind: Kind) -> Place {
        Place::At(file(self.holder, kind))
    }

    fn is_held(&self, kind: Kind, path: &Path) -> Result<bool> {
        Ok(look(kind, path)? == look(kind, &file(self.holder, kind))?)
    }
}

/// Whether a path leads to the node's own.
fn is_the_nodes(kind: Kind, path: &Path) -> Result<bool> {
    Ok(look(kind, path)?.is_the_nodes(kind))
}

fn look(kind: Kind, path: &Path) -> Result<Identity> {
    Identity::of(path)
        .with_context(|| format!("cannot look at the {} namespace {}", word(kind), path.display()))
}

/// A process' namespace in `/proc`.
fn file(pid: i32, kind: Kind) -> PathBuf {
    let name = match kind {
        Kind::Network => "net",
        Kind::Mount => "mnt",
        as_the_spec_calls_it => word(as_the_spec_calls_it),
    };
    Path::new("/proc").join(pid.to_string()).join("ns").join(name)
}

/// As the runtime spec calls it.
pub fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Network => "network",
        Kind::Mount => "mount",
        Kind::Pid => "pid",
        Kind::Ipc => "ipc",
        Kind::Uts => "uts",
        Kind::User => "user",
        Kind::Cgroup => "cgroup",
        Kind::Time => "time",
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;
    use serde_json::{Value, json};

    /// A process in namespaces of its own, until it is dropped.
    struct Elsewhere(Child);

    impl Elsewhere {
        fn new() -> Elsewhere {
            let script = "echo ready; read -r _";
            let mut command = Command::new("unshare");
            command.args(["--ipc", "--uts", "--pid", "--net", "--fork", "--kill-child", "sh", "-c", script]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            let stdout = child.stdout.take().unwrap();
            io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut line).unwrap();
            assert_eq!(line, "ready\n", "namespaces are made by root");
            Elsewhere(child)
        }

        /// The shell, which `unshare` has forked into the new process namespace.
        fn pid(&self) -> i32 {
            let pid = self.0.id();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
            children.trim().parse().unwrap()
        }
    }

    impl Drop for Elsewhere {
        fn drop(&mut self) {
            drop(self.0.stdin.take());
            self.0.wait().unwrap();
        }
    }

    fn spec(namespaces: Value) -> Spec {
        serde_json::from_value(json!({"ociVersion": "1.1.0", "linux": {"namespaces": namespaces}})).unwrap()
    }

    /// What CRI writes for a container of a pod whose sandbox it takes for the process `pid`.
    fn of_cri(pid: i32, processes: Value) -> Spec {
        let at = |kind| file(pid, kind);
        spec(json!([
            processes,
            {"type": "ipc", "path": at(Kind::Ipc)}, {"type": "uts", "path": at(Kind::Uts)},
            {"type": "mount"}, {"type": "network", "path": at(Kind::Network)},
        ]))
    }

    fn sandbox(netns: &Path) -> Spec {
        let network = json!({"type": "network", "path": netns});
        spec(json!([{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, network]))
    }

    fn find(places: &[(Kind, Place)], kind: Kind) -> Place {
        places.iter().find(|(other, _)| *other == kind).unwrap().1.clone()
    }

    fn me() -> i32 {
        std::process::id().cast_signed()
    }

    #[test]
    fn paths_that_lead_to_the_node_are_rewritten_to_the_pod() {
        let (holder, pods) = (Elsewhere::new(), Elsewhere::new());
        let netns = file(pods.pid(), Kind::Network);
        let sandbox = sandbox(&netns);
        let pod = Pod { sandbox: &sandbox, holder: holder.pid(), members: Vec::new() };
        let own = places(&of_cri(me(), json!({"type": "pid"})), Some(&pod), false).unwrap();
        assert_eq!(find(&own, Kind::Ipc), Place::At(file(holder.pid(), Kind::Ipc)));
        assert_eq!(find(&own, Kind::Uts), Place::At(file(holder.pid(), Kind::Uts)));
        assert_eq!(find(&own, Kind::Network), Place::At(netns));
        assert_eq!((find(&own, Kind::Pid), find(&own, Kind::Mount)), (Place::Own, Place::Own));

        let sharing = json!({"type": "pid", "path": file(me(), Kind::Pid)});
        let shared = places(&of_cri(me(), sharing), Some(&pod), false).unwrap();
        assert_eq!(find(&shared, Kind::Pid), Place::At(file(holder.pid(), Kind::Pid)));

        let left_out = places(&spec(json!([{"type": "mount"}])), Some(&pod), false).unwrap();
        assert_eq!(find(&left_out, Kind::Pid), Place::Own);
        assert_eq!(find(&left_out, Kind::Ipc), Place::At(file(holder.pid(), Kind::Ipc)));
    }

    #[test]
    fn a_target_is_a_native_container_of_the_pod_and_nothing_else() {
        let (holder, native, other) = (Elsewhere::new(), Elsewhere::new(), Elsewhere::new());
        let sandbox = sandbox(&file(holder.pid(), Kind::Network));
        let pod = Pod { sandbox: &sandbox, holder: holder.pid(), members: vec![native.pid()] };
        let target = |pid| of_cri(me(), json!({"type": "pid", "path": file(pid, Kind::Pid)}));
        let found = places(&target(native.pid()), Some(&pod), false).unwrap();
        assert_eq!(find(&found, Kind::Pid), Place::At(file(native.pid(), Kind::Pid)));
        let refused = places(&target(other.pid()), Some(&pod), false).unwrap_err().to_string();
        assert!(refused.contains("--target") && refused.contains("Wasm"), "{refused}");
    }

    #[test]
    fn only_the_pods_own_word_gives_a_container_the_nodes_namespaces() {
        let holder = Elsewhere::new();
        let network = json!({"type": "network", "path": file(me(), Kind::Network)});
        let all =
            spec(json!([{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, network]));
        let of = |sandbox: &Spec| {
            let pod = Pod { sandbox, holder: holder.pid(), members: Vec::new() };
            places(&of_cri(me(), json!({"type": "pid", "path": file(me(), Kind::Pid)})), Some(&pod), false)
        };
        let refused = of(&all).unwrap_err().to_string();
        assert!(refused.contains("hostNetwork"), "{refused}");
        let hosts = of(&spec(json!([{"type": "mount"}]))).unwrap();
        for kind in [Kind::Pid, Kind::Ipc, Kind::Uts, Kind::Network] {
            assert_eq!(find(&hosts, kind), Place::Node);
        }
    }

    #[test]
    fn a_container_without_a_pod_gets_what_its_spec_says_but_not_the_nodes_processes() {
        let elsewhere = Elsewhere::new();
        let path = file(elsewhere.pid(), Kind::Pid);
        let given = spec(json!([{"type": "pid", "path": path}, {"type": "mount"}, {"type": "network"}]));
        let found = places(&given, None, false).unwrap();
        assert_eq!((find(&found, Kind::Pid), find(&found, Kind::Network)), (Place::At(path), Place::Own));
        let nodes = spec(json!([{"type": "pid", "path": file(me(), Kind::Pid)}, {"type": "mount"}]));
        assert!(places(&nodes, None, false).unwrap_err().to_string().contains("the node's own"));
        assert_eq!(find(&places(&nodes, None, true).unwrap(), Kind::Pid), Place::Node);
    }

    #[test]
    fn a_place_outlives_the_process_that_it_is_found_by() {
        let (holder, pods) = (Elsewhere::new(), Elsewhere::new());
        let sandbox = sandbox(&file(pods.pid(), Kind::Network));
        let pod = Pod { sandbox: &sandbox, holder: holder.pid(), members: Vec::new() };
        let wanted = look(Kind::Ipc, &file(holder.pid(), Kind::Ipc)).unwrap();
        let found = Places::find(&of_cri(me(), json!({"type": "pid"})), Some(&pod), false).unwrap();
        drop(holder);
        let Some(Place::At(path)) = found.get(Kind::Ipc) else { panic!("{found:?}") };
        assert_eq!(look(Kind::Ipc, path).unwrap(), wanted);
    }

    #[test]
    fn a_mount_namespace_is_never_shared() {
        let given = spec(json!([{"type": "mount", "path": file(me(), Kind::Mount)}]));
        assert!(places(&given, None, true).unwrap_err().to_string().contains("mount"));
    }
}
