//! The guest's stdin.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use grants::Profile;
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
    /// With the strict profile: what was read and is not yet given to the guest.
    block: Option<Mutex<Block>>,
    terminal: bool,
    fifo: bool,
}

impl Input {
    pub fn new(fd: Option<OwnedFd>, profile: Profile) -> io::Result<Self> {
        let Some(fd) = fd else { return Ok(Self(None)) };
        let fifo = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::Fifo;
        let terminal = rustix::termios::isatty(&fd);
        let descriptor = Mutex::new(Descriptor::new(fd, Interest::READABLE)?);
        let block = (profile == Profile::Strict).then(Mutex::default);
        Ok(Self(Some(Arc::new(Source { descriptor, block, terminal, fifo }))))
    }

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        let Some(source) = &self.0 else { return Poll::Ready(()) };
        match &source.block {
            Some(block) => locked(block).poll_full(source, context),
            None => source.descriptor().poll_ready(context),
        }
    }
}

impl Source {
    fn descriptor(&self) -> MutexGuard<'_, Descriptor> {
        locked(&self.descriptor)
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

/// Input as the guest sees it when it must not see in which pieces it came: blocks of [`CHUNK`], the last one shorter.
#[derive(Default)]
struct Block {
    bytes: BytesMut,
    end: Option<StreamError>,
    /// It is whole, and the guest has begun to read it or may.
    begun: bool,
}

impl Block {
    /// Ready when the guest may read: what it left of a block, or else a whole new one.
    fn poll_full(&mut self, source: &Source, context: &mut Context<'_>) -> Poll<()> {
        if self.begun {
            return Poll::Ready(());
        }
        while self.end.is_none() && self.bytes.len() < CHUNK {
            ready!(source.descriptor().poll_ready(context));
            match source.read(CHUNK - self.bytes.len()) {
                Ok(bytes) => self.bytes.extend_from_slice(&bytes),
                Err(end) => self.end = Some(end),
            }
        }
        self.begun = true;
        Poll::Ready(())
    }

    fn take(&mut self, size: usize) -> StreamResult<Bytes> {
        if !self.begun {
            return Ok(Bytes::new());
        }
        if self.bytes.is_empty() {
            return Err(self.end.take().unwrap_or(StreamError::Closed));
        }
        let taken = self.bytes.split_to(size.min(self.bytes.len())).freeze();
        self.begun = !self.bytes.is_empty() || self.end.is_some();
        Ok(taken)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let Some(source) = &self.0 else { return Err(StreamError::Closed) };
        match &source.block {
            Some(block) => locked(block).take(size),
            None => source.read(size),
        }
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
