//! Who is connected to the shim. A shim that was asked to end answers, and then lets its callers hang up first: the ttrpc client
//! of containerd may take a connection that ends right behind an answer for a call that failed (`ttrpc: closed`).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

/// How long callers have for that. One that keeps its connection for longer keeps no shim alive.
const PATIENCE: Duration = Duration::from_secs(1);

/// The number of open connections.
#[derive(Debug, Clone)]
pub struct Callers(watch::Sender<usize>);

impl Callers {
    pub fn new() -> Callers {
        Callers(watch::Sender::new(0))
    }

    /// What a server listens at; it counts those whom it accepts.
    pub fn accepted_at(
        &self,
        listener: UnixListener,
    ) -> impl Stream<Item = io::Result<Caller>> + Send + use<> {
        Door { listener, callers: self.clone() }
    }

    /// Waits until they have hung up, or their time is over.
    pub async fn hang_up(&self) {
        let mut number = self.0.subscribe();
        if tokio::time::timeout(PATIENCE, number.wait_for(|number| *number == 0)).await.is_err() {
            tracing::debug!("ends although somebody is connected");
        }
    }
}

struct Door {
    listener: UnixListener,
    callers: Callers,
}

impl Stream for Door {
    type Item = io::Result<Caller>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.listener.poll_accept(context).map(|accepted| {
            Some(accepted.map(|(connection, _)| {
                self.callers.0.send_modify(|number| *number += 1);
                Caller { connection, callers: self.callers.clone() }
            }))
        })
    }
}

/// One connection.
pub struct Caller {
    connection: UnixStream,
    callers: Callers,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.callers.0.send_modify(|number| *number -= 1);
    }
}

impl Caller {
    fn connection(self: Pin<&mut Self>) -> Pin<&mut UnixStream> {
        Pin::new(&mut self.get_mut().connection)
    }
}

impl AsyncRead for Caller {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.connection().poll_read(context, buffer)
    }
}

impl AsyncWrite for Caller {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.connection().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Instant;

    use super::*;

    async fn accepted(door: &mut Pin<Box<impl Stream<Item = io::Result<Caller>>>>) -> Caller {
        poll_fn(|context| door.as_mut().poll_next(context)).await.expect("it goes on").expect("it accepts")
    }

    #[tokio::test]
    async fn the_end_waits_for_the_last_caller_to_hang_up_and_no_longer_than_its_patience() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        let callers = Callers::new();
        let mut door = Box::pin(callers.accepted_at(UnixListener::bind(&socket).expect("a socket")));
        callers.hang_up().await;

        let ends = [UnixStream::connect(&socket).await, UnixStream::connect(&socket).await];
        let both = [accepted(&mut door).await, accepted(&mut door).await];
        let begin = Instant::now();
        callers.hang_up().await;
        assert!(begin.elapsed() >= PATIENCE, "two are connected");

        let leaving = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop((ends, both));
        });
        let begin = Instant::now();
        callers.hang_up().await;
        assert!(begin.elapsed() < PATIENCE, "nobody is connected");
        leaving.await.expect("they hung up");
    }
}
