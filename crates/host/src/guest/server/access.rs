//! A line on the container's stderr for each request, where the pod asks for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, Request, StatusCode, Version};

use super::site::Site;

/// The most of a path that is logged.
const LONGEST_PATH: usize = 1024;

/// One request, told when it is over.
pub(super) struct Entry {
    site: Arc<Site>,
    client: SocketAddr,
    method: Method,
    path: String,
    version: Version,
    status: StatusCode,
    bytes: u64,
    began: Instant,
}

impl Entry {
    pub fn new<B>(site: Arc<Site>, client: SocketAddr, request: &Request<B>) -> Entry {
        let mut path = request.uri().path().to_owned();
        path.truncate(path.floor_char_boundary(LONGEST_PATH));
        let (method, version) = (request.method().clone(), request.version());
        // What it has if nobody answers: 499 is what others log of a client that went away.
        let status = StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT);
        Entry { site, client, method, path, version, status, bytes: 0, began: Instant::now() }
    }

    pub fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }

    pub fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Entry { client, method, path, version, status, bytes, .. } = self;
        let took = self.began.elapsed();
        // A path is ASCII without spaces and control characters: it cannot forge a line.
        let line =
            format!("{} \"{method} {path} {version:?}\" {} {bytes} {took:.1?}", client.ip(), status.as_u16());
        self.site.stdio.note(&line);
    }
}
