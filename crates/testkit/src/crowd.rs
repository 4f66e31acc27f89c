//! Many containers of one kind at once, by containerd's own calls: `ctr` would take longer than all that it asks for.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result};
use containerd_client::services::v1::Container;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::containerd::{Containerd, lock};

/// How many of a crowd are started or removed at once.
const AT_ONCE: usize = 8;

/// What all of a crowd have in common: what [`crate::Run::crowd`] was asked on.
#[derive(Debug)]
pub struct Crowd<'a> {
    daemon: &'a Containerd,
    record: Container,
    spec: Value,
}

/// One of a crowd, before it is there.
#[derive(Debug, Clone)]
pub struct Member {
    id: String,
    uid: u32,
    args: Vec<String>,
    output: Option<PathBuf>,
}

impl Member {
    pub fn new(id: impl Into<String>) -> Member {
        Member { id: id.into(), uid: 0, args: Vec::new(), output: None }
    }

    /// Another one of its kind.
    pub fn named(mut self, id: impl Into<String>) -> Member {
        self.id = id.into();
        self
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// User and group.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// What follows the program's name in argv.
    pub fn args<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Member {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// User and group.
    pub fn user(mut self, uid: u32) -> Member {
        self.uid = uid;
        self
    }

    /// Where its stdout and stderr go, a file.
    pub fn output(mut self, file: &Path) -> Member {
        self.output = Some(file.to_owned());
        self
    }
}

impl<'a> Crowd<'a> {
    /// From the record of a container that `ctr` has made and that has no task.
    pub(crate) fn like(daemon: &'a Containerd, id: &str) -> Result<Crowd<'a>> {
        let record = Caller::of(daemon)?.container(id)?;
        // A pure Wasm image has no layers: there is nothing to mount.
        let record = Container { snapshotter: String::new(), snapshot_key: String::new(), ..record };
        let spec = record.spec.as_ref().context("the container has no spec")?;
        let spec = serde_json::from_slice(&spec.value).context("the container's spec is no JSON")?;
        Ok(Crowd { daemon, record, spec })
    }

    /// Whoever calls containerd on its own: each has a connection of its own.
    pub fn caller(&self) -> Result<Caller> {
        Caller::of(self.daemon)
    }

    /// Starts all of them, some at once.
    pub fn start(&self, members: &[Member]) -> Result<()> {
        self.each(members, |caller, member| {
            self.create(caller, member)?;
            caller.start(&member.id)
        })
    }

    /// Kills and removes all of them, some at once. Those that have no task any more are removed as well.
    pub fn remove(&self, members: &[Member]) -> Result<()> {
        self.each(members, |caller, member| {
            if caller.kill(&member.id, Signal::KILL.as_raw().unsigned_abs()).is_ok() {
                caller.wait(&member.id)?;
            }
            caller.delete(&member.id).map(drop)
        })
    }

    fn each(&self, members: &[Member], act: impl Fn(&Caller, &Member) -> Result<()> + Sync) -> Result<()> {
        let queue = Mutex::new(members.iter());
        let work = || -> Result<()> {
            let caller = self.caller()?;
            loop {
                let Some(member) = lock(&queue).next() else { return Ok(()) };
                act(&caller, member)?;
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a caller panicked"))?)
        })
    }

    /// Creates a container and its task.
    pub fn create(&self, caller: &Caller, member: &Member) -> Result<()> {
        let id = &member.id;
        let mut record = Container { id: id.clone(), ..self.record.clone() };
        if let Some(any) = &mut record.spec {
            any.value = self.spec(member)?.to_string().into_bytes();
        }
        caller.enter(record).with_context(|| format!("the container {id}"))?;
        let created = caller.create(id, member.output.as_deref());
        if created.is_err() {
            caller.strike(id)?;
        }
        created.with_context(|| format!("the task {id}"))
    }

    fn spec(&self, member: &Member) -> Result<Value> {
        let mut spec = self.spec.clone();
        let at = |spec: &'_ mut Value, place: &str, value: Value| -> Result<()> {
            *spec.pointer_mut(place).with_context(|| format!("the spec has no {place}"))? = value;
            Ok(())
        };
        let program = spec.pointer("/process/args/0").cloned().context("the spec has no program")?;
        let args = std::iter::once(program).chain(member.args.iter().map(|arg| json!(arg))).collect();
        at(&mut spec, "/process/args", Value::Array(args))?;
        at(&mut spec, "/process/user", json!({"uid": member.uid, "gid": member.uid}))?;
        let cgroup = format!("/{}/{}", self.daemon.nest().name(), member.id);
        at(&mut spec, "/linux/cgroupsPath", json!(cgroup))?;
        Ok(spec)
    }
}
