//! The guest's stdout and stderr where several instances write to the same place: whole lines, so that nobody's is cut by
//! another's.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::Output;
use super::output::io_error;

/// The most that is kept of a line without an end.
const LONGEST: usize = 16 * 1024;

/// One instance's stream. What it has begun to write is written when its line ends, or the instance does.
#[derive(Clone)]
pub(in crate::guest) struct Lines {
    output: Output,
    begun: Arc<Begun>,
}

struct Begun {
    output: Output,
    line: Mutex<Vec<u8>>,
}

impl Lines {
    pub fn new(output: Output) -> Lines {
        let begun = Arc::new(Begun { output: output.clone(), line: Mutex::default() });
        Lines { output, begun }
    }
}

impl Begun {
    fn line(&self) -> MutexGuard<'_, Vec<u8>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, bytes: &[u8]) {
        let mut line = self.line();
        line.extend_from_slice(bytes);
        let whole = match line.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if line.len() >= LONGEST => line.len(),
            None => return,
        };
        let rest = line.split_off(whole);
        let whole = std::mem::replace(&mut *line, rest);
        drop(line);
        self.output.put(&whole);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut line = std::mem::take(&mut *self.line());
        if !line.is_empty() {
            line.push(b'\n');
            self.output.put(&line);
        }
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.check_write()?;
        self.begun.write(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        OutputStream::flush(&mut self.output)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.output.check_write()
    }
}

#[async_trait::async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {
        self.output.ready().await;
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.output.poll_room(context));
        let room = match self.output.check_write() {
            Ok(room) => room.min(bytes.len()),
            Err(error) => return Poll::Ready(Err(io_error(error))),
        };
        self.begun.write(bytes.get(..room).unwrap_or(bytes));
        Poll::Ready(Ok(room))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        self.output.is_terminal()
    }
}
