//! Several transfers at once.

use tokio::task::JoinSet;

use super::error::RegistryError;

/// Runs all tasks, `most` at a time. When one fails, the others are ended, and nothing of them runs on.
pub(super) async fn side_by_side<T>(most: usize, tasks: impl Iterator<Item = T>) -> Result<(), RegistryError>
where
    T: Future<Output = Result<(), RegistryError>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut tasks = tasks.fuse();
    loop {
        while running.len() < most.max(1)
            && let Some(task) = tasks.next()
        {
            running.spawn(task);
        }
        let result = match running.join_next().await {
            None => return Ok(()),
            Some(Ok(result)) => result,
            Some(Err(error)) => {
                Err(RegistryError::Refused(format!("a transfer ended without a result: {error}")))
            }
        };
        if result.is_err() {
            running.shutdown().await;
            return result;
        }
    }
}
