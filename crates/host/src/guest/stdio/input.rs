//! The guest's stdin.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::event::PollFlags;
use rustix::fs::FileType;
use rustix::io::Errno;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

use super::descriptor::Descriptor;

/// The most that one read takes from the descriptor, whatever the guest asks for.
const CHUNK: usize = 64 * 1024;

/// A stream that ends where the descriptor ends, or at once when there is none. Clones read from the same place.
#[derive(Clone)]
pub(crate) struct Input(Option<Arc<Source>>);

struct Source {
    descriptor: Mutex<Descriptor>,
    terminal: bool,
    fifo: bool,
}

impl Input {
    pub fn new(fd: Option<OwnedFd>) -> io::Result<Self> {
        let Some(fd) = fd else { return Ok(Self(None)) };
        let fifo = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::Fifo;
        let terminal = rustix::termios::isatty(&fd);
        let descriptor = Mutex::new(Descriptor::new(fd, Interest::READABLE)?);
        Ok(Self(Some(Arc::new(Source { descriptor, terminal, fifo }))))
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_ref().map_or(Poll::Ready(()), |source| source.descriptor().poll_ready(context))
    }
}

impl Source {
    fn descriptor(&self) -> MutexGuard<'_, Descriptor> {
        self.descriptor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is there, at most `size` bytes; nothing when a read would block.
    fn read(&self, size: usize) -> StreamResult<Bytes> {
        let descriptor = self.descriptor();
        let mut bytes = Vec::with_capacity(size.min(CHUNK));
        if bytes.capacity() == 0 {
            return Ok(Bytes::new());
        }
        loop {
            return match rustix::io::read(&*descriptor, rustix::buffer::spare_capacity(&mut bytes)) {
                // Before a FIFO's first writer came there is no end either, only nobody yet; see fifo(7).
                Ok(0) if self.fifo && !descriptor.now().contains(PollFlags::HUP) => Ok(Bytes::new()),
                Ok(0) => Err(StreamError::Closed),
                Ok(_) => Ok(bytes.into()),
                Err(Errno::AGAIN) => Ok(Bytes::new()),
                Err(Errno::INTR) => continue,
                // A terminal whose other side is gone.
                Err(Errno::IO) if self.terminal => Err(StreamError::Closed),
                Err(error) => Err(StreamError::LastOperationFailed(io::Error::from(error).into())),
            };
        }
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.0.as_ref().map_or(Err(StreamError::Closed), |source| source.read(size))
    }
}

#[async_trait::async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|context| self.poll_ready(context)).await;
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_ready(context));
            return Poll::Ready(match InputStream::read(&mut *self, buffer.remaining()) {
                Ok(bytes) if bytes.is_empty() && buffer.remaining() > 0 => continue,
                Ok(bytes) => {
                    buffer.put_slice(&bytes);
                    Ok(())
                }
                Err(StreamError::Closed) => Ok(()),
                Err(StreamError::LastOperationFailed(error) | StreamError::Trap(error)) => {
                    Err(io::Error::other(error))
                }
            });
        }
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        self.0.as_ref().is_some_and(|source| source.terminal)
    }
}
