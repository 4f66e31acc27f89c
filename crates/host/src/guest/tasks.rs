//! What hyper does beside a connection of HTTP/2, as tasks of tokio's: they end with the connection.

#[derive(Debug, Clone, Copy)]
pub(super) struct Tasks;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        tokio::spawn(task);
    }
}
