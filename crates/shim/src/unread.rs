//! Output of a process that has ended, which waits in its FIFOs for somebody who reads it: a containerd that is away, or has
//! just come back.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest pause between two looks at it.
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// How long whoever asks about the process is kept waiting while it is there.
const MOMENT: Duration = Duration::from_millis(50);

/// None, until a process has ended and left some.
#[derive(Debug, Default)]
pub struct Unread {
    waiting: Mutex<Option<JoinHandle<()>>>,
    /// Somebody wants to know of it soon.
    asked: Arc<Notify>,
    /// It was read.
    read: Arc<Notify>,
}

impl Unread {
    /// Holds the ends for writing until all was read from those for reading.
    pub fn keep(&self, writers: [Option<OwnedFd>; 2], readers: Vec<OwnedFd>) {
        let (asked, read) = (self.asked.clone(), self.read.clone());
        let waiting = tokio::spawn(async move {
            let mut pause = Duration::from_millis(1);
            while !is_read(&readers) {
                pause = match timeout(pause, asked.notified()).await {
                    Ok(()) => Duration::from_millis(1),
                    Err(_elapsed) => LAST_PAUSE.min(pause * 2),
                };
            }
            drop((writers, readers));
            read.notify_waiters();
        });
        *self.lock() = Some(waiting);
    }

    /// Gives readers a moment if there is some. A containerd that has come back opens the FIFOs, asks about the process, and if
    /// that has ended gives up what it has not begun to read (Go's `fifo` library behind CRI): so it is told a little later.
    pub async fn wait_for_readers(&self) {
        let read = self.read.notified();
        if self.lock().as_ref().is_some_and(|waiting| !waiting.is_finished()) {
            self.asked.notify_one();
            // It goes on waiting for a reader.
            drop(timeout(MOMENT, read).await);
        }
    }

    /// Gives it up. The FIFOs are closed when this returns.
    pub async fn forget(&self) {
        let waiting = self.lock().take();
        if let Some(waiting) = waiting {
            waiting.abort();
            // Cancelled, which is what was asked for.
            drop(waiting.await);
        }
    }

    /// What a panic would leave under this lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether all that was written has been read.
pub fn is_read(readers: &[OwnedFd]) -> bool {
    readers.iter().all(|reader| rustix::io::ioctl_fionread(reader).is_ok_and(|unread| unread == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    /// An ended process' output of five bytes, and an end for whoever reads it.
    fn left() -> (Unread, OwnedFd) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::write(&writer, b"after").unwrap();
        let unread = Unread::default();
        unread.keep([Some(writer), None], vec![reader.try_clone().unwrap()]);
        (unread, reader)
    }

    #[tokio::test]
    async fn who_asks_is_answered_when_all_was_read() {
        let (unread, reader) = left();
        let reading = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            let mut text = [0; 8];
            let length = rustix::io::read(&reader, &mut text).unwrap();
            let end = rustix::io::read(&reader, &mut text[length..]).unwrap();
            (length, end)
        });
        unread.wait_for_readers().await;
        assert_eq!(reading.join().unwrap(), (5, 0), "all of it, then its end");
        unread.forget().await;
    }

    #[tokio::test]
    async fn who_asks_is_answered_also_if_nobody_reads() {
        let (unread, _reader) = left();
        let asked = tokio::time::Instant::now();
        unread.wait_for_readers().await;
        assert!(asked.elapsed() >= MOMENT);
        unread.forget().await;
    }

    #[tokio::test]
    async fn who_asks_of_a_process_that_left_nothing_is_answered_at_once() {
        let asked = tokio::time::Instant::now();
        Unread::default().wait_for_readers().await;
        assert!(asked.elapsed() < MOMENT);
    }
}
