//! Containers of pods.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::Pod;
use crate::cri::{
    ContainerConfig, ContainerMetadata, ContainerSecurityContext, ContainerState, ContainerStats,
    ContainerStatsResponse, ContainerStatus, ContainerStatusResponse, CreateContainerRequest,
    ExecSyncRequest, ExecSyncResponse, Id, ImageSpec, Int64, KeyValue, LinuxContainerConfig,
    LinuxContainerResources, Mount, NamespaceMode, Nothing, Service, StopContainerRequest,
    UpdateContainerResourcesRequest,
};
use crate::patience::{eventually, until};
use crate::run::Outcome;

/// Where a guest's end is explained, unless the pod says otherwise.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// How long guests may take to say or do what is waited for: a large component is compiled first.
const PATIENCE: u64 = 120;

/// A container before it is created.
#[derive(Debug)]
pub struct PodContainerSpec<'a> {
    pod: &'a Pod<'a>,
    name: String,
    image: String,
    config: ContainerConfig,
    resources: LinuxContainerResources,
    security: ContainerSecurityContext,
    ports: Vec<serde_json::Value>,
    attempt: u32,
    termination_path: String,
}

impl<'a> PodContainerSpec<'a> {
    pub(super) fn new(pod: &'a Pod<'a>, name: &str, image: &str) -> PodContainerSpec<'a> {
        let security = ContainerSecurityContext {
            namespace_options: Some(pod.namespaces.clone()),
            ..ContainerSecurityContext::default()
        };
        PodContainerSpec {
            pod,
            name: name.to_owned(),
            image: image.to_owned(),
            config: ContainerConfig::default(),
            resources: LinuxContainerResources {
                cpu_shares: 2,
                oom_score_adj: 1000,
                ..LinuxContainerResources::default()
            },
            security,
            ports: Vec::new(),
            attempt: 0,
            termination_path: TERMINATION_LOG.to_owned(),
        }
    }

    /// How often a container of this name has been made before.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Instead of the image's entry point.
    pub fn command<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.config.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// Instead of the image's arguments.
    pub fn args<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.config.args = words.into_iter().map(Into::into).collect();
        self
    }

    pub fn working_dir(mut self, path: &str) -> Self {
        self.config.working_dir = path.to_owned();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.config.envs.push(KeyValue { key: name.to_owned(), value: value.to_owned() });
        self
    }

    pub fn annotation(mut self, name: &str, value: &str) -> Self {
        self.config.annotations.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A declared port: `TCP` or `UDP`.
    pub fn port(mut self, number: u16, protocol: &str) -> Self {
        self.ports.push(json!({"containerPort": number, "protocol": protocol}));
        self
    }

    /// `terminationMessagePath`.
    pub fn termination_path(mut self, path: &str) -> Self {
        self.termination_path = path.to_owned();
        self
    }

    /// Bytes.
    pub fn memory(mut self, limit: i64) -> Self {
        self.resources.memory_limit_in_bytes = limit;
        self
    }

    /// Microseconds of each 100 ms, and a weight.
    pub fn cpu(mut self, quota: i64, shares: i64) -> Self {
        (self.resources.cpu_period, self.resources.cpu_quota) = (100_000, quota);
        self.resources.cpu_shares = shares;
        self
    }

    /// Processors and memory nodes of its own, as kubelet's static managers give them.
    pub fn cpuset(mut self, cpus: &str, mems: &str) -> Self {
        (self.resources.cpuset_cpus, self.resources.cpuset_mems) = (cpus.to_owned(), mems.to_owned());
        self
    }

    /// `runAsUser`, `runAsGroup`, `supplementalGroups`.
    pub fn user(mut self, uid: i64, gid: i64, groups: &[i64]) -> Self {
        self.security.run_as_user = Some(Int64 { value: uid });
        self.security.run_as_group = Some(Int64 { value: gid });
        self.security.supplemental_groups = groups.to_vec();
        self
    }

    /// `privileged: true`.
    pub fn privileged(mut self) -> Self {
        self.security.privileged = true;
        self
    }

    /// `capabilities.add`.
    pub fn capability(mut self, name: &str) -> Self {
        self.security.capabilities.get_or_insert_default().add.push(name.to_owned());
        self
    }

    /// As `kubectl debug --target` asks for it: sees the processes of another container.
    pub fn target(mut self, container: &PodContainer<'_>) -> Self {
        let options = self.security.namespace_options.get_or_insert_default();
        options.pid = NamespaceMode::Target.into();
        options.target_id = container.id.clone();
        self
    }

    /// `readOnlyRootFilesystem: true` and `allowPrivilegeEscalation: false`.
    pub fn restricted(mut self) -> Self {
        (self.security.readonly_rootfs, self.security.no_new_privs) = (true, true);
        self
    }

    /// A volume that the kubelet has at `source`, a path that the nest sees.
    pub fn mount(mut self, source: &Path, destination: &str, readonly: bool) -> Self {
        self.config.mounts.push(Mount {
            container_path: destination.to_owned(),
            host_path: source.display().to_string(),
            readonly,
            recursive_read_only: false,
        });
        self
    }

    /// Creates it. It waits to be started.
    pub fn create(mut self) -> Result<PodContainer<'a>> {
        let node = self.pod.node;
        let id = node.image_id(&self.image)?.with_context(|| format!("CRI has no image {}", self.image))?;
        let folder = self.pod.folder.join(&self.name);
        fs::create_dir_all(&folder)?;
        let termination = folder.join("termination");
        fs::write(&termination, "")?;
        let log_path = format!("{}/{}.log", self.name, self.attempt);
        fs::create_dir_all(self.pod.folder.join("logs").join(&self.name))?;
        let log = self.pod.folder.join("logs").join(&log_path);
        let path = self.termination_path.clone();
        self = self.mount(&termination, &path, false);
        for (key, value) in [
            ("restartCount", self.attempt.to_string()),
            ("terminationMessagePath", path),
            ("terminationMessagePolicy", "File".to_owned()),
            ("ports", json!(self.ports).to_string()),
        ] {
            if key != "ports" || !self.ports.is_empty() {
                self.config.annotations.insert(format!("io.kubernetes.container.{key}"), value);
            }
        }
        let config = ContainerConfig {
            metadata: Some(ContainerMetadata { name: self.name.clone(), attempt: self.attempt }),
            image: Some(ImageSpec { image: id, user_specified_image: self.image }),
            log_path,
            linux: Some(LinuxContainerConfig {
                resources: Some(self.resources),
                security_context: Some(self.security),
            }),
            ..self.config
        };
        let request = CreateContainerRequest {
            pod_sandbox_id: self.pod.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.pod.config.clone()),
        };
        let id: Id = node.cri().call(Service::Runtime, "CreateContainer", request)?;
        Ok(PodContainer { pod: self.pod, name: self.name, id: id.id, log, termination })
    }

    /// Creates and starts it.
    pub fn start(self) -> Result<PodContainer<'a>> {
        let container = self.create()?;
        container.start()?;
        Ok(container)
    }
}

/// A container that CRI has made.
#[derive(Debug)]
pub struct PodContainer<'a> {
    pod: &'a Pod<'a>,
    name: String,
    id: String,
    log: PathBuf,
    termination: PathBuf,
}

impl PodContainer<'_> {
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn start(&self) -> Result<()> {
        self.pod.node.cri().about::<Nothing>("StartContainer", &self.id).map(drop)
    }

    pub fn status(&self) -> Result<ContainerStatus> {
        let answer: ContainerStatusResponse = self.pod.node.cri().about("ContainerStatus", &self.id)?;
        answer.status.context("CRI tells of a container without a status")
    }

    /// Waits for its end.
    pub fn end(&self) -> Result<ContainerStatus> {
        until(&format!("{} ends", self.name), PATIENCE, || {
            let status = self.status()?;
            Ok((status.state() == ContainerState::Exited).then_some(status))
        })
    }

    /// Waits until CRI says so: it hears of that by one way and of the end by another, and handles the two beside each other.
    pub fn is_oom_killed(&self) -> Result<()> {
        eventually("it was killed for want of memory", 30, || Ok(self.status()?.reason == "OOMKilled"))
    }

    /// SIGTERM, and SIGKILL after some seconds.
    pub fn stop(&self, timeout: i64) -> Result<()> {
        let request = StopContainerRequest { container_id: self.id.clone(), timeout };
        self.pod.node.cri().call::<_, Nothing>(Service::Runtime, "StopContainer", request).map(drop)
    }

    /// Removes it; the pod may have another of its name then.
    pub fn remove(self) -> Result<()> {
        self.pod.node.cri().about::<Nothing>("RemoveContainer", &self.id).map(drop)
    }

    /// Runs a process in it to its end, as an exec probe does; `timeout` in seconds.
    pub fn exec(&self, words: &[&str], timeout: i64) -> Result<Outcome> {
        let cmd = words.iter().map(|&word| word.to_owned()).collect();
        let request = ExecSyncRequest { container_id: self.id.clone(), cmd, timeout };
        let answer: ExecSyncResponse = self.pod.node.cri().call(Service::Runtime, "ExecSync", request)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Outcome { code: answer.exit_code, stdout: text(answer.stdout), stderr: text(answer.stderr) })
    }

    /// Gives it other resources, as an in-place resize does.
    pub fn update(&self, resources: LinuxContainerResources) -> Result<()> {
        let request =
            UpdateContainerResourcesRequest { container_id: self.id.clone(), linux: Some(resources) };
        self.pod
            .node
            .cri()
            .call::<_, Nothing>(Service::Runtime, "UpdateContainerResources", request)
            .map(drop)
    }

    /// Its stats, asked for alone.
    pub fn stats(&self) -> Result<ContainerStats> {
        let answer: ContainerStatsResponse = self.pod.node.cri().about("ContainerStats", &self.id)?;
        answer.stats.context("CRI tells of no stats")
    }

    /// What the kubelet would read from its termination message path.
    pub fn termination_message(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.termination)?)
    }

    /// The lines of its log so far; each has to be of CRI's form, `<time> <stream> <F or P> <text>`.
    pub fn log(&self) -> Result<Vec<LogLine>> {
        fs::read_to_string(&self.log).unwrap_or_default().lines().map(LogLine::parse).collect()
    }

    /// What it has written to one of `stdout` and `stderr` so far.
    pub fn output(&self, stream: &str) -> Result<String> {
        let mut text = String::new();
        for line in self.log()?.iter().filter(|line| line.stream == stream) {
            text.push_str(&line.text);
            if line.full {
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// Whether its stdout is `line(1)`, `line(2)` and so on up to the last, each once. containerd writes a line down after it has read
    /// it: the one that it had in hand when it ended, behind the first `known`, is its own to lose.
    pub fn lost_nothing(&self, known: usize, line: impl Fn(usize) -> String) -> Result<()> {
        let log = self.output("stdout")?;
        let lines: Vec<&str> = log.lines().collect();
        let all = |count: usize| (1..=count).map(&line);
        let whole = all(lines.len()).eq(lines.iter().copied());
        let but_one = all(lines.len() + 1).filter(|it| *it != line(known + 1)).eq(lines.iter().copied());
        ensure!(whole || but_one, "{known} lines were known: {log}");
        Ok(())
    }

    /// Waits until it has written `text` to stdout.
    pub fn says(&self, text: &str) -> Result<()> {
        eventually(&format!("{} says {text:?}", self.name), PATIENCE, || {
            let said = self.output("stdout")?.contains(text);
            let status = self.status()?;
            ensure!(
                said || status.state() != ContainerState::Exited || self.output("stdout")?.contains(text),
                "{} ended before it said {text:?}: {status:?} {:?}",
                self.name,
                self.log()?
            );
            Ok(said)
        })
    }
}

/// A line of a container's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub stream: String,
    /// Whether the container ended the line, too.
    pub full: bool,
    pub text: String,
}

impl LogLine {
    fn parse(line: &str) -> Result<LogLine> {
        let mut parts = line.splitn(4, ' ');
        let (Some(time), Some(stream), Some(tag), Some(text)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            anyhow::bail!("this is no line of a CRI log: {line:?}");
        };
        let dated = time.len() >= 20 && time.contains('T');
        ensure!(
            dated && ["stdout", "stderr"].contains(&stream) && ["F", "P"].contains(&tag),
            "no CRI log: {line:?}"
        );
        Ok(LogLine { stream: stream.to_owned(), full: tag == "F", text: text.to_owned() })
    }
}
