//! The container that is worked for.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio::task_local;

use super::traces::Trace;

task_local! {
    static SUBJECT: Arc<Subject>;
}

/// A container, as lines and traces name it.
#[derive(Debug)]
pub struct Subject {
    /// containerd's.
    pub namespace: String,
    pub container: String,
    /// `namespace/name` in Kubernetes, once it is known.
    pod: OnceLock<String>,
    /// Made when it is first traced.
    pub(super) trace: OnceLock<Trace>,
}

impl Subject {
    pub fn new(namespace: &str, container: &str) -> Arc<Subject> {
        let (namespace, container) = (namespace.to_owned(), container.to_owned());
        Arc::new(Subject { namespace, container, pod: OnceLock::new(), trace: OnceLock::new() })
    }

    pub fn pod(&self) -> Option<&str> {
        self.pod.get().map(String::as_str)
    }
}

/// Does something for a container.
pub fn about<F: Future>(subject: Arc<Subject>, work: F) -> impl Future<Output = F::Output> {
    SUBJECT.scope(subject, work)
}

/// Whom the caller works for.
pub fn current() -> Option<Arc<Subject>> {
    SUBJECT.try_with(Arc::clone).ok()
}

/// Says in which pod the container is that the caller works for.
pub fn named(pod: Option<&str>) {
    if let (Some(subject), Some(pod)) = (current(), pod) {
        subject.pod.get_or_init(|| pod.to_owned());
    }
}

/// Goes on with what was begun for a container, if it was for one.
pub async fn resume<F: Future>(subject: Option<Arc<Subject>>, work: F) -> F::Output {
    match subject {
        Some(subject) => about(subject, work).await,
        None => work.await,
    }
}
