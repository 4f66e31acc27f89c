//! Who is on the way to a manager: each `start` that takes a slot is heard of while containerd reads the address and connects.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Slots;
use crate::reactor;

/// Room for some events, each of which has a name of up to 255 bytes.
const EVENTS: usize = 4096;

/// A task that will be created soon.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrival {
    /// containerd's.
    pub namespace: String,
    pub id: String,
    pub bundle: PathBuf,
}

/// Tells of each arrival at these slots until `tell` returns false. Without it nothing is amiss: a manager then hears of a
/// container when it is created.
pub async fn arrivals(slots: Slots, tell: impl Fn(Arrival) -> bool) {
    let heard = match watch(&slots) {
        Ok(watched) => hear(&slots, &watched, tell).await,
        Err(error) => Err(error),
    };
    if let Err(error) = heard {
        tracing::info!(%error, "containers are looked up when they are created, and no sooner");
    }
}

fn watch(slots: &Slots) -> io::Result<AsyncFd<OwnedFd>> {
    let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    add_watch(&inotify, slots.folder(), WatchFlags::CLOSE_WRITE | WatchFlags::ONLYDIR)?;
    reactor::register(inotify, Interest::READABLE)
}

async fn hear(slots: &Slots, watched: &AsyncFd<OwnedFd>, tell: impl Fn(Arrival) -> bool) -> io::Result<()> {
    loop {
        let mut ready = watched.readable().await?;
        let mut events = [MaybeUninit::uninit(); EVENTS];
        let mut reader = Reader::new(watched.get_ref(), &mut events);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(rustix::io::Errno::WOULDBLOCK) => break,
                Err(error) => return Err(error.into()),
            };
            let arrival =
                event.file_name().and_then(|name| slots.arrival(OsStr::from_bytes(name.to_bytes())));
            if arrival.is_some_and(|arrival| !tell(arrival)) {
                return Ok(());
            }
        }
        ready.clear_ready();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn whoever_takes_a_slot_is_heard_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let slots = Slots::in_folder(folder.path().to_owned());
        let (told, mut heard) = mpsc::unbounded_channel();
        let listener = tokio::spawn(arrivals(slots.clone(), move |arrival| told.send(arrival).is_ok()));
        // The first may come before anybody listens.
        let first = async {
            loop {
                slots.take("k8s.io", "a@b", Path::new("/bundles/a")).expect("a slot");
                tokio::select! {
                    arrival = heard.recv() => break arrival,
                    () = tokio::time::sleep(Duration::from_millis(1)) => {}
                }
            }
        };
        let expected = Arrival { namespace: "k8s.io".into(), id: "a@b".into(), bundle: "/bundles/a".into() };
        assert_eq!(first.await, Some(expected));
        drop(heard);
        slots.take("k8s.io", "c", Path::new("/bundles/c")).expect("a slot");
        listener.await.expect("an end");
    }
}
