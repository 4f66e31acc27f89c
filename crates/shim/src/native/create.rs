//! From a create request to a native container that waits to be started.

use std::ffi::OsStr;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use grants::policy::Native as Verdict;
use grants::{ContainerType, Policy, identity};
use oci_spec::runtime::LinuxNamespaceType as Kind;

use super::config::{self, Changes};
use super::container::Native;
use super::namespaces::{self, Place, Places};
use super::pods::Key;
use super::process::Process;
use super::recognise::Found;
use super::room::{Remains, Room};
use super::runtime::{self, Runtime};
use crate::cgroup::{self, Cgroup};
use crate::mount;
use crate::task::bundle::Bundle;
use crate::task::{Context, Order, cgroups_path};

/// Creates it. An error is one sentence for the person who wrote the pod; then nothing of it is left.
pub async fn create(
    context: &Context,
    order: &Order,
    bundle: &Bundle,
    policy: &Policy,
    found: Found,
) -> Result<Native> {
    let spec = bundle.spec();
    let sandbox = match (identity::container_type(spec), identity::sandbox_id(spec)) {
        (ContainerType::Container, Some(id)) => {
            Some((id, bundle.sibling(id).context("cannot tell the pod's namespaces")?))
        }
        _ => None,
    };
    grants::native::check(spec, sandbox.as_ref().map(|(_, sandbox)| sandbox.spec()), policy)?;
    let path = cgroups_path(spec)?;
    let runtime = Runtime {
        program: runtime::find(&policy.native_runtime)?,
        systemd: path.is_some_and(cgroup::names_a_scope),
        room: Room::of(&context.address, &order.namespace, &order.id),
        id: order.id.clone(),
    };
    let rootfs = (!order.rootfs.is_empty()).then(|| bundle.rootfs());
    runtime.room.make(&Remains {
        program: runtime.program.clone(),
        systemd: runtime.systemd,
        rootfs: rootfs.clone(),
    })?;
    let plan = Plan { context, order, bundle, policy, runtime: &runtime, sandbox: sandbox.as_ref() };
    match plan.carry_out(found, path).await {
        Ok(native) => Ok(native),
        Err(error) => {
            // Where the runtime has not made it, it says so.
            drop(runtime.tell(&["delete", "--force"], &[]).await);
            runtime.room.remove();
            Err(error)
        }
    }
}

struct Plan<'a> {
    context: &'a Context,
    order: &'a Order,
    bundle: &'a Bundle,
    policy: &'a Policy,
    runtime: &'a Runtime,
    /// The id and the bundle of the pod's sandbox.
    sandbox: Option<&'a (&'a str, Bundle)>,
}

impl Plan<'_> {
    async fn carry_out(&self, found: Found, cgroups_path: Option<&str>) -> Result<Native> {
        let (context, order) = (self.context, self.order);
        let root = self.bundle.rootfs();
        if !order.rootfs.is_empty() {
            mount::show(&found.root, &root).with_context(|| format!("cannot mount {}", root.display()))?;
        }
        drop(found.root);
        let pod = self.sandbox.map(|(id, _)| (order.namespace.clone(), (*id).to_owned()));
        let namespaces = self.namespaces(pod.as_ref()).await?;
        let most_memory = self.policy.limits.memory.map(|size| size.0);
        let changes = Changes { root: &root, namespaces: &namespaces.all, memory: most_memory };
        config::write(self.bundle.path(), self.runtime.room.path(), &changes)?;
        let cgroup = cgroups_path.map(Cgroup::of_another).transpose()?;
        let words = [OsStr::new("create"), OsStr::new("--bundle"), self.runtime.room.path().as_os_str()];
        let init = Process::start(self.runtime, &words, &order.urls, &order.id, &order.namespace).await?;
        if let Some(pod) = &pod {
            context.pods.join(pod, &order.id, init.pid().cast_signed());
        }
        Ok(Native {
            runtime: self.runtime.clone(),
            init,
            pod,
            pods: context.pods.clone(),
            cgroup,
            private_processes: namespaces.get(Kind::Pid) == Some(&Place::Own),
            most_memory,
            paused: AtomicBool::new(false),
        })
    }

    async fn namespaces(&self, key: Option<&Key>) -> Result<Places> {
        let privileged = self.policy.native == Verdict::AllowPrivileged;
        let (Some(key), Some((_, sandbox))) = (key, self.sandbox) else {
            return Places::find(self.bundle.spec(), None, privileged);
        };
        let pod = namespaces::Pod {
            sandbox: sandbox.spec(),
            holder: self.context.pods.holder(key, sandbox.spec()).await?,
            members: self.context.pods.members(key),
        };
        Places::find(self.bundle.spec(), Some(&pod), privileged)
    }
}
