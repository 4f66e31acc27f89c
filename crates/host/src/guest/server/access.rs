//! A line on the container's stderr for each request, where the pod asks for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, StatusCode, Version};

use super::site::Site;

/// The most of a path that is logged.
const LONGEST_PATH: usize = 1024;

/// What is told of one request when it is over.
pub(super) struct Entry {
    site: Arc<Site>,
    client: SocketAddr,
    method: Method,
    path: String,
    version: Version,
    bytes: u64,
}

impl Entry {
    pub fn new<B>(site: Arc<Site>, client: SocketAddr, request: &Request<B>) -> Entry {
        let mut path = request.uri().path().to_owned();
        path.truncate(path.floor_char_boundary(LONGEST_PATH));
        let (method, version) = (request.method().clone(), request.version());
        Entry { site, client, method, path, version, bytes: 0 }
    }

    pub fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    pub fn tell(&self, status: StatusCode, took: Duration) {
        let Entry { site, client, method, path, version, bytes } = self;
        let (client, status) = (client.ip(), status.as_u16());
        // A path is ASCII without spaces and control characters: it cannot forge a line.
        site.stdio.note(&format!("{client} \"{method} {path} {version:?}\" {status} {bytes} {took:.1?}"));
    }
}
