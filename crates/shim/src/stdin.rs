//! A container's stdin: a FIFO whose writer may have gone before it had a reader.
//!
//! The client that asks for a container opens its end of the FIFO before it asks, and that may be all that is ever heard
//! of it: `ctr` has closed an empty stdin by then, and forgets to say so by CloseIO (containerd's issue 4489). A reader that
//! comes later never sees a hang-up, fifo(7): it waits for a first writer. So there is one, for a moment.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::FileType;

/// How long a client that has opened its ends of the other streams may take to open this one. All of them open them at
/// once, before they ask for the container.
const WRITER: Duration = Duration::from_secs(1);

/// The reading end, which the guest shares.
#[derive(Debug)]
pub struct Stdin(Arc<OwnedFd>);

impl Stdin {
    /// `fd` ends for the guest when nobody writes to it any more; where nobody has begun to, after a grace. Needs a tokio
    /// runtime.
    pub fn new(fd: OwnedFd) -> Stdin {
        Self::with_grace(fd, WRITER)
    }

    fn with_grace(fd: OwnedFd, grace: Duration) -> Stdin {
        let fd = Arc::new(fd);
        let waiting = Arc::downgrade(&fd);
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            if let Some(fd) = waiting.upgrade()
                && let Err(error) = end_without_writer(fd.as_fd())
            {
                tracing::warn!(%error, "a guest whose stdin nobody has opened will wait for it");
            }
        });
        Stdin(fd)
    }

    /// The client writes nothing more: the guest sees the end when it has read what was written.
    pub fn close(&self) -> io::Result<()> {
        end_without_writer(self.0.as_fd())
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes a FIFO hang up on its readers if it has no writer; to others it does nothing.
fn end_without_writer(reader: BorrowedFd<'_>) -> io::Result<()> {
    if FileType::from_raw_mode(rustix::fs::fstat(reader)?.st_mode) != FileType::Fifo {
        return Ok(());
    }
    let same = format!("/proc/self/fd/{}", reader.as_raw_fd());
    OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(same).map(drop)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn fifo() -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in");
        mkfifoat(CWD, &path, Mode::from_raw_mode(0o600)).unwrap();
        let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
        (folder, reader)
    }

    fn writer(folder: &tempfile::TempDir) -> File {
        OpenOptions::new().write(true).open(folder.path().join("in")).unwrap()
    }

    fn has_ended(stdin: &Stdin) -> bool {
        let mut fds = [PollFd::new(stdin, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).unwrap();
        fds[0].revents().contains(PollFlags::HUP)
    }

    #[tokio::test]
    async fn a_stdin_whose_writer_had_gone_before_it_was_opened_ends_after_a_grace() {
        let (_folder, reader) = fifo();
        let stdin = Stdin::with_grace(reader.into(), Duration::from_millis(10));
        assert!(!has_ended(&stdin));
        let end = async {
            while !has_ended(&stdin) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), end).await.unwrap();
    }

    #[tokio::test]
    async fn a_stdin_that_is_closed_ends_at_once() {
        let (_folder, reader) = fifo();
        let stdin = Stdin::with_grace(reader.into(), LONG);
        stdin.close().unwrap();
        assert!(has_ended(&stdin));
    }

    #[tokio::test]
    async fn a_stdin_ends_only_behind_what_its_writers_still_have_to_say() {
        let (folder, mut reader) = fifo();
        let stdin = Stdin::with_grace(reader.try_clone().unwrap().into(), LONG);
        let mut writer = writer(&folder);
        stdin.close().unwrap();
        assert!(!has_ended(&stdin));
        writer.write_all(b"at last").unwrap();
        drop(writer);
        assert!(has_ended(&stdin));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "at last");
    }

    #[tokio::test]
    async fn what_is_no_fifo_is_left_alone() {
        let stdin = Stdin::with_grace(tempfile::tempfile().unwrap().into(), LONG);
        stdin.close().unwrap();
    }
}
