//! The guest's stdout and stderr.
//!
//! What the guest writes goes to the descriptor at once. What does not fit there waits in a small buffer, which a task
//! empties; while it is full the guest waits.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use grants::Profile;
use rustix::io::Errno;
use tokio::io::{AsyncWrite, Interest};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::descriptor::Descriptor;

/// The most that waits for a slow reader.
const CAPACITY: usize = 64 * 1024;

/// A stream to a descriptor, or to nowhere when there is none. Clones write to the same place.
#[derive(Clone)]
pub(crate) struct Output(Option<Arc<Sink>>);

struct Sink {
    state: Mutex<State>,
    terminal: bool,
}

struct State {
    descriptor: Descriptor,
    /// Not empty only while a task is at work to empty it.
    waiting: BytesMut,
    /// The guest wants all of `waiting` written before it goes on.
    flushing: bool,
    /// The guest may write all or nothing: it cannot see how much a slow reader has left.
    whole: bool,
    /// Nobody reads, and nobody will.
    closed: bool,
    /// What the guest is not told yet.
    failed: Option<io::Error>,
    wakers: Vec<Waker>,
}

impl Output {
    pub fn new(fd: Option<OwnedFd>, profile: Profile) -> io::Result<Self> {
        let Some(fd) = fd else { return Ok(Self(None)) };
        let terminal = rustix::termios::isatty(&fd);
        let state = State {
            descriptor: Descriptor::new(fd, Interest::WRITABLE)?,
            waiting: BytesMut::new(),
            flushing: false,
            whole: profile == Profile::Strict,
            closed: false,
            failed: None,
            wakers: Vec::new(),
        };
        Ok(Self(Some(Arc::new(Sink { state: Mutex::new(state), terminal }))))
    }

    pub fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    /// Writes a message of the host behind all that the guest wrote. Needs a tokio runtime.
    pub fn report(&self, message: &str) {
        if let Some(sink) = &self.0 {
            sink.write(format!("{message}\n").as_bytes());
        }
    }

    /// Writes `bytes` as they are, which were asked to be written when there was room. Needs a tokio runtime.
    pub fn put(&self, bytes: &[u8]) {
        if let Some(sink) = &self.0 {
            sink.write(bytes);
        }
    }

    pub fn has_room(&self) -> bool {
        self.0.as_ref().is_some_and(|sink| sink.state().room() > 0)
    }

    /// Ready when the guest may write, or learns that it cannot.
    pub fn poll_room(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_ref().map_or(Poll::Ready(()), |sink| sink.poll_ready(context))
    }

    /// Writes a line when there is room. Needs a tokio runtime.
    pub async fn log(&self, line: &str) {
        if let Some(sink) = &self.0 {
            std::future::poll_fn(|context| sink.poll_ready(context)).await;
            sink.write(format!("{line}\n").as_bytes());
        }
    }

    /// Takes nothing more from the guest, and writes what waits and then `message`, until this moment. Blocks, and so
    /// does whoever writes to this stream from now on.
    pub fn close(&self, message: Option<&str>, until: Instant) {
        let Some(sink) = &self.0 else { return };
        let mut state = sink.state();
        if let Some(message) = message {
            state.waiting.extend_from_slice(format!("{message}\n").as_bytes());
        }
        let waiting = std::mem::take(&mut state.waiting);
        let mut left = state.write(&waiting);
        while !left.is_empty() && Instant::now() < until {
            state.descriptor.wait(until.saturating_duration_since(Instant::now()));
            left = state.write(left);
        }
        // The lock is never given back: the guest is over.
        std::mem::forget(state);
    }

    /// Returns when nothing waits any more.
    pub async fn drain(&self) {
        if let Some(sink) = &self.0 {
            let over = |state: &State| state.waiting.is_empty() || state.closed;
            std::future::poll_fn(|context| sink.poll_until(over, context)).await;
        }
    }
}

impl Sink {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all of `bytes`, whatever [`State::room`] says.
    fn write(self: &Arc<Self>, mut bytes: &[u8]) {
        let mut state = self.state();
        if state.waiting.is_empty() {
            bytes = state.write(bytes);
            if !bytes.is_empty() {
                tokio::spawn(self.clone().empty());
            }
        }
        state.waiting.extend_from_slice(bytes);
    }

    async fn empty(self: Arc<Self>) {
        std::future::poll_fn(|context| self.state().poll_empty(context)).await;
    }

    /// Ready when the guest may write, or learns that it cannot.
    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_until(|state| state.room() > 0 || state.closed || state.failed.is_some(), context)
    }

    fn poll_until(&self, over: impl Fn(&State) -> bool, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if over(&state) {
            return Poll::Ready(());
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl State {
    /// How many bytes the guest may write.
    fn room(&self) -> usize {
        match self.flushing || (self.whole && !self.waiting.is_empty()) {
            true => 0,
            false => CAPACITY.saturating_sub(self.waiting.len()),
        }
    }

    fn check(&mut self) -> StreamResult<()> {
        match self.failed.take() {
            Some(error) => Err(StreamError::LastOperationFailed(error.into())),
            None if self.closed => Err(StreamError::Closed),
            None => Ok(()),
        }
    }

    fn flush(&mut self) {
        self.flushing = !self.waiting.is_empty();
    }

    /// Writes to the descriptor and returns what did not fit. After an error nothing is left to write.
    fn write<'a>(&mut self, mut bytes: &'a [u8]) -> &'a [u8] {
        while !self.closed && !bytes.is_empty() {
            match rustix::io::write(&self.descriptor, bytes) {
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(Errno::AGAIN) => return bytes,
                Err(Errno::INTR) => {}
                // EIO: a terminal whose other side is gone.
                Err(Errno::PIPE | Errno::IO) => self.closed = true,
                Err(error) => {
                    self.failed = Some(error.into());
                    break;
                }
            }
        }
        &[]
    }

    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let waiting = std::mem::take(&mut self.waiting);
            let left = self.write(&waiting).len();
            let done = waiting.len() - left;
            self.waiting = waiting;
            self.waiting.advance(done);
            if self.waiting.is_empty() {
                // The buffer is given back: a guest that was slow once is not charged for ever.
                self.waiting = BytesMut::new();
                self.flushing = false;
            }
            self.wakers.drain(..).for_each(Waker::wake);
            if self.waiting.is_empty() {
                return Poll::Ready(());
            }
            ready!(self.descriptor.poll_ready(context));
        }
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let Some(sink) = &self.0 else { return Ok(()) };
        let mut state = sink.state();
        state.check()?;
        if bytes.len() > state.room() {
            return Err(StreamError::trap("the guest wrote more than it was allowed to"));
        }
        drop(state);
        sink.write(&bytes);
        sink.state().check()
    }

    fn flush(&mut self) -> StreamResult<()> {
        let Some(sink) = &self.0 else { return Ok(()) };
        let mut state = sink.state();
        state.check()?;
        state.flush();
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let Some(sink) = &self.0 else { return Ok(CAPACITY) };
        let mut state = sink.state();
        state.check()?;
        Ok(state.room())
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        if let Some(sink) = &self.0 {
            std::future::poll_fn(|context| sink.poll_ready(context)).await;
        }
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(sink) = &self.0 {
            ready!(sink.poll_ready(context));
        }
        let room = match self.check_write() {
            Ok(room) => room.min(bytes.len()),
            Err(error) => return Poll::Ready(Err(io_error(error))),
        };
        let written =
            OutputStream::write(&mut *self, Bytes::copy_from_slice(bytes.get(..room).unwrap_or(bytes)));
        Poll::Ready(written.map(|()| room).map_err(io_error))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Err(error) = OutputStream::flush(&mut *self) {
            return Poll::Ready(Err(io_error(error)));
        }
        self.0.as_ref().map_or(Poll::Ready(()), |sink| sink.poll_ready(context)).map(Ok)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

pub(super) fn io_error(error: StreamError) -> io::Error {
    match error {
        StreamError::Closed => io::ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) | StreamError::Trap(error) => io::Error::other(error),
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        self.0.as_ref().is_some_and(|sink| sink.terminal)
    }
}
