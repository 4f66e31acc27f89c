//! The containers of a host, as its main thread has them: those that wait to be started, and those whose time is
//! limited.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use crate::guest::{Handle, Outcome, Timeout};
use crate::serve::Voice;

/// A container that is loaded or being loaded.
pub(crate) struct Waiting {
    /// Sends it off.
    pub start: Sender<Option<OwnedFd>>,
    /// Has the time limit once it is loaded, if it has one.
    pub timeout: Receiver<Timeout>,
    pub voice: Voice,
    pub server: Handle,
}

#[derive(Default)]
pub(crate) struct Containers {
    waiting: HashMap<String, Waiting>,
    limited: HashMap<String, (Instant, Timeout, Voice)>,
    servers: HashMap<String, Handle>,
}

impl Containers {
    pub fn launched(&mut self, id: String, container: Waiting) {
        self.waiting.insert(id, container);
    }

    /// Starts a container, whose time begins now, with its listener if it serves.
    pub fn start(&mut self, id: &str, listener: Option<OwnedFd>) {
        let Some(Waiting { start, timeout, voice, server }) = self.waiting.remove(id) else { return };
        // A container that could not be loaded has hung up already and has said so itself.
        if start.send(listener).is_err() {
            return;
        }
        self.servers.insert(id.to_owned(), server);
        // An end that the machine's clock cannot tell is none.
        if let Ok(timeout) = timeout.try_recv()
            && let Some(end) = Instant::now().checked_add(timeout.limit())
        {
            self.limited.insert(id.to_owned(), (end, timeout, voice));
        }
    }

    /// A container that runs, as a server.
    pub fn server(&self, id: &str) -> Option<&Handle> {
        self.servers.get(id)
    }

    /// When the next container's time is over.
    pub fn next_end(&self) -> Option<Instant> {
        self.limited.values().map(|(end, ..)| *end).min()
    }

    /// Ends a container whose time is over, if there is one that has not ended by itself.
    pub fn end_overdue(&mut self) -> Option<(Voice, Outcome)> {
        let now = Instant::now();
        let overdue = self.limited.extract_if(|_, (end, ..)| *end <= now);
        overdue.filter_map(|(_, (_, timeout, voice))| Some((voice, timeout.end()?))).next()
    }
}
