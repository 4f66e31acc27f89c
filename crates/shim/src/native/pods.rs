//! The native containers of this shim, by their pods: who shares namespaces with whom.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use oci_spec::runtime::Spec;

use super::holder;
use crate::host_process::HostProcess;

/// A pod: containerd's namespace and the id of its sandbox.
pub type Key = (String, String);

/// What pods with a native container have. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Pods {
    pods: Arc<Mutex<HashMap<Key, Pod>>>,
    /// One holder is made at a time.
    making: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Pod {
    holder: Option<Arc<HostProcess>>,
    /// The first processes of its native containers, by their ids.
    members: HashMap<String, i32>,
}

impl Pods {
    fn pods(&self) -> MutexGuard<'_, HashMap<Key, Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pid of what holds the pod's namespaces; it is made for the first who asks.
    pub async fn holder(&self, key: &Key, sandbox: &Spec) -> Result<i32> {
        let _one_at_a_time = self.making.lock().await;
        if let Some(holder) = self.pods().get(key).and_then(|pod| pod.holder.as_ref()) {
            return Ok(holder.pid());
        }
        let holder = Arc::new(holder::start(&key.1, sandbox).await?);
        let pid = holder.pid();
        self.pods().entry(key.clone()).or_default().holder = Some(holder.clone());
        tokio::spawn(self.clone().watch(key.clone(), holder));
        Ok(pid)
    }

    /// One that ends is no holder any more: the next container gets another.
    async fn watch(self, key: Key, holder: Arc<HostProcess>) {
        let signal = holder.reaped().await;
        let mut pods = self.pods();
        if let Some(pod) = pods.get_mut(&key)
            && pod.holder.as_ref().is_some_and(|own| Arc::ptr_eq(own, &holder))
        {
            tracing::warn!(
                sandbox = key.1,
                ?signal,
                words = holder.last_words(),
                "what held a pod's namespaces ended"
            );
            pod.holder = None;
        }
    }

    pub fn join(&self, key: &Key, id: &str, pid: i32) {
        self.pods().entry(key.clone()).or_default().members.insert(id.to_owned(), pid);
    }

    /// To be called as soon as the container's first process is reaped: then its pid may come to mean another.
    pub fn leave(&self, key: &Key, id: &str) {
        if let Some(pod) = self.pods().get_mut(key) {
            pod.members.remove(id);
        }
    }

    pub fn members(&self, key: &Key) -> Vec<i32> {
        self.pods().get(key).map(|pod| pod.members.values().copied().collect()).unwrap_or_default()
    }

    /// Ends what held a pod's namespaces: the pod has ended.
    pub async fn end(&self, key: &Key) {
        let holder = self.pods().remove(key).and_then(|pod| pod.holder);
        if let Some(holder) = holder {
            holder.end().await;
        }
    }
}
