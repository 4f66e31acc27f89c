//! Logging binaries once they run: each is waited for, by the shim before it ends itself, too.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How long one may take to end when its streams have.
const PATIENCE: Duration = Duration::from_secs(10);

static LOGGERS: LazyLock<Mutex<JoinSet<()>>> = LazyLock::new(Mutex::default);

/// Waits for a logging binary from its start on: one that has ended and is not waited for is taken for nobody's, and its pid would
/// be another's when it is killed. Once what is returned is dropped, with the streams, it has to end.
pub fn attend(logger: Child) -> oneshot::Sender<()> {
    let (streams, closed) = oneshot::channel();
    let mut loggers = lock();
    while loggers.try_join_next().is_some() {}
    loggers.spawn(wait_for(logger, closed));
    streams
}

/// Waits until all have ended. A shim that ended before would kill them while they write down what they were told last.
pub async fn finish() {
    let mut loggers = std::mem::take(&mut *lock());
    let ended = async { while loggers.join_next().await.is_some() {} };
    if tokio::time::timeout(PATIENCE * 2, ended).await.is_err() {
        tracing::warn!("a logging binary whose streams are open ends with the shim");
    }
}

async fn wait_for(mut logger: Child, closed: oneshot::Receiver<()>) {
    tokio::select! {
        _ended = logger.wait() => return,
        _closed = closed => {}
    }
    if tokio::time::timeout(PATIENCE, logger.wait()).await.is_err() {
        tracing::warn!("a logging binary does not end and is killed");
        drop(logger.kill().await);
    }
}

/// What a panic would leave under this lock is as good as any.
fn lock() -> MutexGuard<'static, JoinSet<()>> {
    LOGGERS.lock().unwrap_or_else(PoisonError::into_inner)
}
